package keylessextension

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configmiddleware"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

// certificate writes one for this machine, and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "collector"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// receiver takes OTLP by gRPC, over TLS if there is a certificate, from those whom e lets in.
func receiver(t *testing.T, e *keylessExtension, certFile, keyFile string) (address string, sink *consumertest.MetricsSink) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	server := cfg.Protocols.GRPC.GetOrInsertDefault()
	server.NetAddr.Endpoint = freeAddress(t)
	server.Auth = authenticated()
	if certFile != "" {
		server.TLS = configoptional.Some(configtls.ServerConfig{Config: configtls.Config{CertFile: certFile, KeyFile: keyFile}})
	}
	sink = &consumertest.MetricsSink{}
	r, err := factory.CreateMetrics(t.Context(), receivertest.NewNopSettings(factory.Type()), cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), with("", e)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Shutdown(t.Context()) })
	return server.NetAddr.Endpoint, sink
}

// export sends a gauge with the collector's own exporter.
func export(t *testing.T, e *keylessExtension, address string, change func(*otlpexporter.Config)) error {
	t.Helper()
	factory := otlpexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpexporter.Config)
	cfg.ClientConfig.Endpoint, cfg.ClientConfig.Auth = address, authenticated()
	cfg.QueueConfig, cfg.RetryConfig.Enabled = configoptional.None[exporterhelper.QueueBatchConfig](), false
	change(cfg)
	exporter, err := factory.CreateMetrics(t.Context(), exportertest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.Start(t.Context(), with("", e)); err != nil {
		return err
	}
	defer func() { _ = exporter.Shutdown(t.Context()) }()
	return exporter.ConsumeMetrics(t.Context(), gauge("g", time.Now()))
}

func trusting(file string) func(*otlpexporter.Config) {
	return func(cfg *otlpexporter.Config) { cfg.ClientConfig.TLS.CAFile = file }
}

func TestOTLPOverTLSBetweenTwoCollectors(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := certificate(t)
	server, _ := w.start(t, w.asServer(block{"roles": []any{"AssumeRole"}}))
	address, sink := receiver(t, server, certFile, keyFile)
	sender, _ := w.start(t, inAWS(nil))
	if err := export(t, sender, address, trusting(certFile)); err != nil || sink.DataPointCount() != 1 {
		t.Fatalf("%v, %d points", err, sink.DataPointCount())
	}
	auth := client.FromContext(sink.Contexts()[0]).Auth
	if auth.GetAttribute("subject") != sandbox.DemoVMObjectID || auth.GetAttribute("oid") != sandbox.DemoVMObjectID || auth.GetAttribute("tenant") != sandbox.DemoTenantID || auth.GetAttribute("roles").([]string)[0] != "AssumeRole" {
		t.Errorf("%v", auth.GetAttributeNames())
	}
	other, _ := w.start(t, inVM(nil))
	if err := export(t, other, address, trusting(certFile)); status.Code(unwrapped(err)) != codes.Unauthenticated || sink.DataPointCount() != 1 {
		t.Errorf("with a token for another service: %v, %d points", err, sink.DataPointCount())
	}
}

// unwrapped is the error of gRPC inside of the collector's.
func unwrapped(err error) error {
	for err != nil {
		if _, ok := status.FromError(err); ok && status.Code(err) != codes.Unknown {
			return err
		}
		wrapper, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = wrapper.Unwrap()
	}
	return nil
}

func TestGRPCNeedsTLS(t *testing.T) {
	w := newWorld(t)
	server, _ := w.start(t, w.asServer(nil))
	address, sink := receiver(t, server, "", "")
	plain := func(cfg *otlpexporter.Config) { cfg.ClientConfig.TLS.Insecure = true }
	strict, _ := w.start(t, inAWS(nil))
	if err := export(t, strict, address, plain); err == nil || sink.DataPointCount() != 0 {
		t.Errorf("in the clear: %v, %d points", err, sink.DataPointCount())
	}
	lax, _ := w.start(t, inAWS(block{"insecure_loopback_grpc": true, "hosts": []any{"127.0.0.1", "elsewhere.example"}}))
	if err := export(t, lax, address, plain); err != nil || sink.DataPointCount() != 1 {
		t.Errorf("on this machine: %v, %d points", err, sink.DataPointCount())
	}
	elsewhere := func(cfg *otlpexporter.Config) {
		plain(cfg)
		cfg.ClientConfig.Authority = "elsewhere.example"
	}
	if err := export(t, lax, address, elsewhere); err == nil || sink.DataPointCount() != 1 {
		t.Errorf("in the clear to another machine: %v, %d points", err, sink.DataPointCount())
	}
}

func TestATokenThatThereIsNoneOfMakesACallThatCanBeTriedAgain(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := certificate(t)
	server, _ := w.start(t, w.asServer(nil))
	address, _ := receiver(t, server, certFile, keyFile)
	w.SetFault(sandbox.IMDS, sandbox.Fault{Status: 400})
	sender, _ := w.start(t, inAWS(nil))
	if err := export(t, sender, address, trusting(certFile)); status.Code(unwrapped(err)) != codes.Unavailable {
		t.Errorf("without a token: %v", err)
	}
	stranger, _ := w.start(t, inAWS(block{"hosts": []any{"other.example"}}))
	if err := export(t, stranger, address, trusting(certFile)); status.Code(unwrapped(err)) != codes.Unauthenticated {
		t.Errorf("to a host that is not on the list: %v", err)
	}
}

func TestAsAMiddlewareARefusedCallIsTriedWithAnotherToken(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := certificate(t)
	server, _ := w.start(t, w.asServer(nil))
	address, sink := receiver(t, server, certFile, keyFile)
	sender, _ := w.start(t, inAWS(block{"source": block{"client_secret": block{"tenant_id": sandbox.DemoTenantID, "client_id": sandbox.DemoAppClientID, "client_secret": sandbox.DemoAppSecret, "authority_host": w.URL(sandbox.Entra)}}}))
	if _, err := sender.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.RotateKeys()
	w.DropOldKeys() // the token in the cache is worthless now
	if err := export(t, sender, address, trusting(certFile)); err == nil || sink.DataPointCount() != 0 {
		t.Errorf("without the middleware: %v", err)
	}
	withMiddleware := func(cfg *otlpexporter.Config) {
		trusting(certFile)(cfg)
		cfg.ClientConfig.Middlewares = []configmiddleware.Config{{ID: component.NewID(metadata.Type)}}
	}
	if err := export(t, sender, address, withMiddleware); err != nil || sink.DataPointCount() != 1 {
		t.Errorf("%v, %d points", err, sink.DataPointCount())
	}
}

func TestASignatureIsNotForGRPC(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inAWS(block{"mode": "sigv4", "sigv4": block{"region": "us-east-1", "service": "aps"}}))
	if _, err := e.PerRPCCredentials(); err == nil {
		t.Error("credentials for gRPC")
	}
}
