package lumberjackreceiver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// authority issues certificates to senders and receivers.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &authority{key, certificate, pool}
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, key.Public(), a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// server is the setting of a receiver that asks for certificates of this authority.
func (a *authority) server(t *testing.T) configtls.ServerConfig {
	t.Helper()
	own := a.issue(t, "receiver")
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	must(t, err)
	senders := filepath.Join(t.TempDir(), "senders.pem")
	must(t, os.WriteFile(senders, block("CERTIFICATE", a.certificate.Raw), 0o600))
	return configtls.ServerConfig{
		Config: configtls.Config{
			CertPem: configopaque.String(block("CERTIFICATE", own.Certificate[0])), KeyPem: configopaque.String(block("PRIVATE KEY", key)),
		},
		ClientCAFile: senders,
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// sumPoints are the values of a counter, one for each set of attributes.
func sumPoints(t *testing.T, metric metricdata.Metrics) []int64 {
	t.Helper()
	sum, ok := metric.Data.(metricdata.Sum[int64])
	if !ok {
		t.Fatalf("%s is no counter", metric.Name)
	}
	var all []int64
	for _, point := range sum.DataPoints {
		all = append(all, point.Value)
	}
	return all
}
