package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"time"
)

// authority is the sandbox's certificate authority, made when first needed. Its
// key never leaves the process and is gone with it.
type authority struct {
	once  sync.Once
	err   error
	key   *ecdsa.PrivateKey
	root  *x509.Certificate
	mu    sync.Mutex
	leafs map[string]*tls.Certificate
}

// CAPEM returns the certificate that clients of the https twins must trust.
func (s *Sandbox) CAPEM() []byte {
	ca := &s.network.ca
	if err := ca.make(); err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})
}

func (ca *authority) make() error {
	ca.once.Do(func() {
		if ca.key, ca.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); ca.err != nil {
			return
		}
		template := certificate("keyless sandbox CA")
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		var der []byte
		if der, ca.err = x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key); ca.err == nil {
			ca.root, ca.err = x509.ParseCertificate(der)
		}
	})
	return ca.err
}

func certificate(name string) *x509.Certificate {
	now := time.Now() // and not Options.Now: TLS clients go by the real clock
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(randomBytes(16)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
	}
}

// certificateFor makes a certificate for whatever name a client asks for, so
// that the real names work too when a test leads them here.
func (ca *authority) certificateFor(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if err := ca.make(); err != nil {
		return nil, err
	}
	name := hello.ServerName
	if name == "" { // the client went by address
		name, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if leaf := ca.leafs[name]; leaf != nil {
		return leaf, nil
	}
	leaf, err := ca.leaf(name)
	if err == nil && len(ca.leafs) < 100 {
		if ca.leafs == nil {
			ca.leafs = map[string]*tls.Certificate{}
		}
		ca.leafs[name] = leaf
	}
	return leaf, err
}

func (ca *authority) leaf(name string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate(name)
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else {
		template.DNSNames = append(template.DNSNames, name)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.root.Raw}, PrivateKey: key}, nil
}
