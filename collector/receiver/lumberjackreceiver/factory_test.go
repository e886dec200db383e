package lumberjackreceiver

import (
	"net"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func TestAnAddressThatIsTakenFailsTheStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	config := createDefaultConfig().(*Config)
	config.Endpoint = taken.Addr().String()
	wantError(t, startOnce(t, config), "address already in use")
}

func TestACertificateThatIsNotThereFailsTheStart(t *testing.T) {
	config := createDefaultConfig().(*Config)
	config.TLS = configoptional.Some(configtls.ServerConfig{Config: configtls.Config{CertFile: "absent.pem", KeyFile: "absent.key"}})
	wantError(t, startOnce(t, config), "absent.pem")
}

func startOnce(t *testing.T, config component.Config) error {
	t.Helper()
	set := receivertest.NewNopSettings(NewFactory().Type())
	logs, err := NewFactory().CreateLogs(t.Context(), set, config, consumertest.NewNop())
	must(t, err)
	defer func() { must(t, logs.Shutdown(t.Context())) }()
	return logs.Start(t.Context(), componenttest.NewNopHost())
}
