package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// MaxFile is the longest file that [Inventory.Add] reads, in bytes: the listing of an
// account with 50,000 roles has a fifth of it.
const MaxFile = 256 << 20

// Inventory is what is to be judged: roles and providers of one account, or of files that
// have nothing to do with each other. The zero value is empty.
type Inventory struct {
	Roles     []Role
	Providers []Provider
	Unjudged  []Unjudged // what was seen and cannot be read

	listed struct{ roles, providers listing }
}

// Role is a role with its trust policy as it was found.
type Role struct {
	Name     string // ARN, name or Terraform address; empty: a policy in a file
	File     string
	Line     int
	Document []byte // JSON

	apart bool // the document is a string in the file, with lines of its own
}

// Provider is an OIDC provider of IAM.
type Provider struct {
	Name        string // ARN, URL or Terraform address
	Issuer      string // the provider's name in condition keys
	File        string
	Line        int
	Thumbprints []string

	written bool // the thumbprints are in a configuration, and not just what IAM filled in
}

// Unjudged is a role whose policy cannot be judged, or a listing that is not whole.
type Unjudged struct {
	File string `json:"file,omitempty"`
	Role string `json:"role,omitempty"`
	Why  string `json:"why"`
}

// listing says whether all of a kind were seen.
type listing struct{ seen, cut bool }

func (l listing) whole() bool { return l.seen && !l.cut }

// document is any of the forms that are understood; its fields are those of AWS's answers
// and of "JSON Output Format" of Terraform.
type document struct {
	Statement json.RawMessage

	Roles          []awsRole
	RoleDetailList []awsRole
	Role           *awsRole

	OpenIDConnectProviderList []struct{ Arn string }
	Url                       string //nolint:revive // the name that AWS gives it
	ThumbprintList            []string

	IsTruncated bool
	NextToken   string

	FormatVersion string    `json:"format_version"`
	PlannedValues *tfValues `json:"planned_values"`
	Values        *tfValues `json:"values"`
	Configuration *tfConfig `json:"configuration"`
}

type awsRole struct {
	RoleName, Arn            string
	AssumeRolePolicyDocument json.RawMessage
}

// Add reads a file: a trust policy; what aws iam list-roles, get-role,
// get-account-authorization-details, list-open-id-connect-providers or
// get-open-id-connect-provider print; or what terraform show -json prints of a plan or a
// state. Several in a row, such as the pages of a listing, are read one after the other.
// An error means that the file is none of these; a role that cannot be read is in Unjudged.
func (v *Inventory) Add(file string, data []byte) error {
	if len(data) > MaxFile {
		return fmt.Errorf("longer than %d bytes", MaxFile)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	f := &finder{file: file, data: data}
	for {
		var d document
		start := f.end
		err := decoder.Decode(&d)
		switch {
		case errors.Is(err, io.EOF) && start > 0:
			return nil
		case err != nil:
			return notJSON(err)
		}
		f.end = int(decoder.InputOffset())
		if err := v.add(d, f, bytes.TrimSpace(data[start:f.end])); err != nil {
			return err
		}
	}
}

// AddAccount adds a live account: all of its roles, and all of its providers.
func (v *Inventory) AddAccount(roles []Role, providers []Provider) {
	v.Roles, v.listed.roles = append(v.Roles, roles...), listing{seen: true}
	v.Providers, v.listed.providers = append(v.Providers, providers...), listing{seen: true}
}

func notJSON(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON, byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("not what AWS or Terraform prints: %w", err)
}

func (v *Inventory) add(d document, f *finder, text []byte) error {
	switch {
	case d.FormatVersion != "":
		v.terraform(d, f)
	case d.Roles != nil || d.RoleDetailList != nil:
		v.listed.roles = listing{true, d.IsTruncated || d.NextToken != ""}
		for _, r := range append(d.Roles, d.RoleDetailList...) {
			v.role(r, f)
		}
	case d.Role != nil:
		v.role(*d.Role, f)
	case d.OpenIDConnectProviderList != nil:
		v.listed.providers = listing{seen: true}
		for _, p := range d.OpenIDConnectProviderList {
			v.provider(Provider{Name: p.Arn, Issuer: trust.ProviderName(p.Arn), File: f.file, Line: f.line([]byte(p.Arn))})
		}
	case d.Url != "":
		v.provider(Provider{Name: d.Url, Issuer: trust.ProviderName(d.Url), File: f.file, Line: f.line([]byte(d.Url)), Thumbprints: d.ThumbprintList})
	case d.Statement != nil:
		v.Roles = append(v.Roles, Role{File: f.file, Line: f.line(text), Document: text})
	default:
		return errors.New("is neither a trust policy, nor a listing of roles or providers, nor a plan of Terraform")
	}
	return nil
}

// provider adds one, or what was not known of it.
func (v *Inventory) provider(p Provider) {
	for i, known := range v.Providers {
		if strings.EqualFold(known.Issuer, p.Issuer) && known.File != p.File {
			v.Providers[i].Thumbprints = append(known.Thumbprints, p.Thumbprints...)
			return
		}
	}
	v.Providers = append(v.Providers, p)
}

func (v *Inventory) role(r awsRole, f *finder) {
	name := r.Arn
	if name == "" {
		name = r.RoleName
	}
	if r.AssumeRolePolicyDocument == nil {
		v.Unjudged = append(v.Unjudged, Unjudged{f.file, name, "the listing has no AssumeRolePolicyDocument"})
		return
	}
	document, apart, err := plain(r.AssumeRolePolicyDocument)
	if err != nil {
		v.Unjudged = append(v.Unjudged, Unjudged{f.file, name, "AssumeRolePolicyDocument: " + err.Error()})
		return
	}
	v.Roles = append(v.Roles, Role{Name: name, File: f.file, Line: f.line(r.AssumeRolePolicyDocument), Document: document, apart: apart})
}

// plain undoes what the API does to documents, which its command line undoes: they are
// strings, encoded as a part of an address (RFC 3986). It reports whether this one was.
func plain(document []byte) (text []byte, encoded bool, err error) {
	if len(document) == 0 || document[0] != '"' {
		return document, false, nil
	}
	var s string
	if err := json.Unmarshal(document, &s); err != nil {
		return nil, true, err
	}
	if strings.HasPrefix(s, "%7B") || strings.HasPrefix(s, "%7b") {
		s, err = url.PathUnescape(s)
	}
	return []byte(s), true, err
}

// finder says in which line things of a file are. Things are asked for in the order in
// which they are there, so that each byte is looked at once.
type finder struct {
	file string
	data []byte
	end  int // of what has been decoded

	at, lines int
}

// line of the next place that has these bytes; zero: there is none.
func (f *finder) line(of []byte) int {
	found := bytes.Index(f.data[f.at:f.end], of)
	if found < 0 || len(of) == 0 {
		return 0
	}
	f.lines += bytes.Count(f.data[f.at:f.at+found], []byte("\n"))
	f.at += found
	return f.lines + 1
}
