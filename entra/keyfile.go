package entra

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/keyless-id/keyless/internal/wire"
)

// maxCertificateFile is room for a long chain.
const maxCertificateFile = 1 << 20

// keyPair is a private key and its certificate, followed by what signed that.
type keyPair struct {
	signer crypto.Signer
	chain  []*x509.Certificate
}

// load reads the files. It does so for each token: that costs a fraction of the
// signature, and sees every rotation.
func (c Certificate) load() (keyPair, error) {
	content, err := readFile("certificate", c.File, maxCertificateFile)
	if err != nil {
		return keyPair{}, err
	}
	pair, err := c.parse(content)
	if err != nil {
		return keyPair{}, fmt.Errorf("certificate file %q: %w", c.File, err)
	}
	return pair, nil
}

func (c Certificate) parse(content []byte) (keyPair, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return keyPair{}, errors.New("it is empty")
	}
	if !bytes.Contains(content, []byte("-----BEGIN ")) {
		return c.parsePKCS12(content)
	}
	key := content
	if c.KeyFile != "" {
		var err error
		if key, err = readFile("key", c.KeyFile, maxCertificateFile); err != nil {
			return keyPair{}, err
		}
	}
	return parsePEM(content, key)
}

func (c Certificate) parsePKCS12(content []byte) (keyPair, error) {
	password := c.Password
	if c.PasswordFile != "" {
		var err error
		if password, err = readSecret("password", c.PasswordFile); err != nil {
			return keyPair{}, err
		}
	}
	if c.KeyFile != "" {
		return keyPair{}, errors.New("it is not PEM, so a separate key file is of no use")
	}
	if content[0] != 0x30 { // every PKCS#12 file is an ASN.1 sequence
		return keyPair{}, errors.New("neither PEM nor PKCS#12")
	}
	key, leaf, rest, err := pkcs12.DecodeChain(content, password.Reveal())
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return keyPair{}, errors.New("the password is wrong")
	case err != nil:
		return keyPair{}, explain(err)
	}
	return pick(key, append([]*x509.Certificate{leaf}, rest...))
}

// explain rewords what the PKCS#12 library says about files with more or less in
// them than one identity.
func explain(err error) error {
	switch err.Error() {
	case "pkcs12: expected exactly one key bag":
		return errors.New("it holds several private keys; want one, with its certificate")
	case "pkcs12: private key missing":
		return errNoKey
	case "pkcs12: certificate missing":
		return errNoCertificate
	}
	return errors.New(wire.Quote(err.Error()))
}

var (
	errNoKey         = errors.New("there is no private key with the certificate; export both, or set the key file")
	errNoCertificate = errors.New("there is no certificate")
	errEncrypted     = errors.New("the private key is encrypted PEM, which is not supported; use PKCS#12 with a password")
	errMatch         = errors.New("the private key belongs to none of the certificates")
	errNotRSA        = errors.New("the key is not RSA; Entra takes no other for application certificates")
)

func parsePEM(certificates, keys []byte) (keyPair, error) {
	var chain []*x509.Certificate
	for block := range blocks(certificates) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return keyPair{}, fmt.Errorf("a certificate in it is broken: %w", err)
		}
		chain = append(chain, certificate)
	}
	if chain == nil {
		return keyPair{}, errNoCertificate
	}
	key, err := parseKey(keys)
	if err != nil {
		return keyPair{}, err
	}
	return pick(key, chain)
}

func blocks(content []byte) func(func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for {
			block, rest := pem.Decode(content)
			if block == nil || !yield(block) {
				return
			}
			content = rest
		}
	}
}

func parseKey(content []byte) (any, error) {
	var found any
	for block := range blocks(content) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errEncrypted
		}
		parse := keyParser(block.Type)
		if parse == nil {
			continue
		}
		key, err := parse(block.Bytes)
		if err != nil {
			return nil, errors.New("the private key is broken") // what the parser says may quote it
		}
		if found != nil {
			return nil, errors.New("it holds several private keys; want one")
		}
		found = key
	}
	if found == nil {
		return nil, errNoKey
	}
	return found, nil
}

func keyParser(kind string) func([]byte) (any, error) {
	switch kind {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey
	case "RSA PRIVATE KEY":
		return func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) }
	case "EC PRIVATE KEY":
		return func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) }
	}
	return nil
}

// pick puts the key's certificate first; files have it anywhere.
func pick(key any, chain []*x509.Certificate) (keyPair, error) {
	signer, ok := key.(*rsa.PrivateKey)
	if !ok {
		return keyPair{}, errNotRSA
	}
	ordered := make([]*x509.Certificate, 1, len(chain)+1)
	for _, certificate := range chain {
		if ordered[0] == nil && signer.PublicKey.Equal(certificate.PublicKey) {
			ordered[0] = certificate
			continue
		}
		ordered = append(ordered, certificate)
	}
	if ordered[0] == nil {
		return keyPair{}, errMatch
	}
	return keyPair{signer: signer, chain: ordered}, nil
}

// checked says what Entra would say too, but without the round trip and in words
// that name the cause.
func (p keyPair) checked() (keyPair, error) {
	leaf := p.chain[0]
	public, ok := p.signer.Public().(*rsa.PublicKey)
	now := time.Now()
	switch {
	case !ok:
		return keyPair{}, errNotRSA
	case !public.Equal(leaf.PublicKey):
		return keyPair{}, errMatch
	case now.After(leaf.NotAfter):
		return keyPair{}, fmt.Errorf("the certificate expired on %s; renew it, and upload the new one to the application", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return keyPair{}, fmt.Errorf("the certificate is not valid before %s; is this machine's clock right?", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return p, nil
}
