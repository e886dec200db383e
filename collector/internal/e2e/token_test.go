package e2e_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/oauth2"

	"github.com/keyless-id/keyless/collector/internal/kafkaclient"
	"github.com/keyless-id/keyless/collector/receiver/kafkareceiver"
)

// bearers is what a broker needs that asks for tokens. Kafka's own validator for development
// takes those that nobody signed, and looks at their times.
const bearers = `listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLIENTS:SASL_PLAINTEXT
sasl.enabled.mechanisms=OAUTHBEARER
sasl.mechanism.inter.broker.protocol=OAUTHBEARER
listener.name.clients.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
`

// issuer is an extension with tokens of its own making.
type issuer struct {
	component.StartFunc
	component.ShutdownFunc
	life time.Duration
}

func (i issuer) Token(context.Context) (*oauth2.Token, error) {
	part := base64.RawURLEncoding.EncodeToString
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":"gateway","iat":%d,"exp":%d}`, now.Add(-time.Hour).Unix(), now.Add(i.life).Unix())
	return &oauth2.Token{AccessToken: part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + "."}, nil
}

// GetExtensions makes a host of the extension.
func (i issuer) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("keyless"): i}
}

func TestARealBrokerAsksForTheTokenOfAnExtension(t *testing.T) {
	b := startBroker(t, bearers)
	writer, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.SASL(oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := issuer{life: time.Hour}.Token(ctx)
		return oauth.Auth{Token: token.AccessToken}, err
	})))
	must(t, err)
	defer writer.Close()
	eventually(t, time.Minute, "the broker makes a topic", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := kadm.NewClient(writer).CreateTopic(ctx, 1, 1, nil, "lines")
		return err == nil
	})
	must(t, writer.ProduceSync(t.Context(), &kgo.Record{Topic: "lines", Value: []byte("a")}).FirstErr())

	var arrived consumertest.LogsSink
	read(t, b, issuer{life: time.Hour}, &arrived)
	eventually(t, time.Minute, "the line arrives", func() bool { return arrived.LogRecordCount() == 1 })

	var none consumertest.LogsSink
	log := read(t, b, issuer{life: -time.Minute}, &none)
	eventually(t, time.Minute, "the log says so", func() bool { return log.FilterMessageSnippet("cannot read").Len() > 0 })
	if none.LogRecordCount() != 0 {
		t.Error("a token that has expired was good enough")
	}
}

// read starts a receiver with the tokens of an extension.
func read(t *testing.T, b *broker, tokens issuer, to *consumertest.LogsSink) *observer.ObservedLogs {
	t.Helper()
	factory := kafkareceiver.NewFactory()
	id := component.MustNewID("keyless")
	config := factory.CreateDefaultConfig().(*kafkareceiver.Config)
	config.Brokers, config.GroupID = []string{b.address}, "life "+tokens.life.String()
	config.Logs = kafkareceiver.Topics{Topics: []string{"lines"}, Encoding: kafkareceiver.EncodingText}
	config.TLS = configoptional.Some(configtls.ClientConfig{Insecure: true})
	config.Auth.SASL = configoptional.Some(kafkaclient.SASL{Mechanism: "OAUTHBEARER", OAuthBearerTokenSource: &id})
	must(t, config.Validate())
	core, log := observer.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(factory.Type())
	set.Logger = zap.New(core)
	logs, err := factory.CreateLogs(t.Context(), set, config, to)
	must(t, err)
	must(t, logs.Start(t.Context(), tokens))
	t.Cleanup(func() { must(t, logs.Shutdown(context.Background())) })
	return log
}
