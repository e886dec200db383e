// Package jwtpeek reads the claims of a JWT without checking its signature: for
// hints that people read and for guards in front of those who do check it, never
// to let anyone in.
package jwtpeek

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// MaxToken is the longest token that is read, in bytes. STS takes 20,000.
const MaxToken = 64 << 10

// Claims are what a token says of itself. A claim that is absent, or not of the
// type that its standard demands, is the zero value here and as it came in All.
type Claims struct {
	Issuer          string // iss
	Subject         string // sub
	AuthorizedParty string // azp: the client, in v2 tokens of Entra
	AppID           string // appid: the client, in v1 tokens of Entra
	ObjectID        string // oid
	TenantID        string // tid
	Version         string // ver
	KeyID           string // kid, of the header
	Audience        []string
	IssuedAt        time.Time
	NotBefore       time.Time
	Expiry          time.Time
	All             map[string]any // numbers are json.Number
}

var (
	errTooLong = errors.New("the token is longer than 64 KiB")
	errParts   = errors.New("the token is no JWT: want three parts joined by dots")
	errTail    = errors.New("more than one JSON value")
)

// Unverified returns the claims of token, a JWS in compact form (RFC 7515
// section 7.1). Errors never quote the token.
func Unverified(token string) (Claims, error) {
	if len(token) > MaxToken {
		return Claims{}, errTooLong
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] == "" {
		return Claims{}, errParts
	}
	header, err := object(parts[0])
	if err != nil {
		return Claims{}, fmt.Errorf("the token is no JWT: header: %w", err)
	}
	if text(header, "alg") == "" {
		return Claims{}, errors.New("the token is no JWT: its header names no algorithm")
	}
	all, err := object(parts[1])
	if err != nil {
		return Claims{}, fmt.Errorf("the token is no JWT: claims: %w", err)
	}
	read := claims(all)
	read.KeyID = text(header, "kid")
	return read, nil
}

func claims(all map[string]any) Claims {
	return Claims{
		Issuer:          text(all, "iss"),
		Subject:         text(all, "sub"),
		AuthorizedParty: text(all, "azp"),
		AppID:           text(all, "appid"),
		ObjectID:        text(all, "oid"),
		TenantID:        text(all, "tid"),
		Version:         text(all, "ver"),
		Audience:        texts(all, "aud"),
		IssuedAt:        moment(all, "iat"),
		NotBefore:       moment(all, "nbf"),
		Expiry:          moment(all, "exp"),
		All:             all,
	}
}

func object(part string) (map[string]any, error) {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil || members == nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errTail
	}
	return members, nil
}

func text(all map[string]any, name string) string {
	value, _ := all[name].(string)
	return value
}

// texts reads a claim that is a string or an array of them (RFC 7519 section
// 4.1.3). An array with anything else in it counts as absent.
func texts(all map[string]any, name string) []string {
	if value := text(all, name); value != "" {
		return []string{value}
	}
	items, _ := all[name].([]any)
	values := make([]string, 0, len(items))
	for _, item := range items {
		value, ok := item.(string)
		if !ok {
			return nil
		}
		values = append(values, value)
	}
	return values
}

// maxSeconds is the year 9999, the last that RFC 3339 can print.
const maxSeconds = 253402300799

// moment reads a NumericDate (RFC 7519 section 2), which may have a fraction.
func moment(all map[string]any, name string) time.Time {
	number, ok := all[name].(json.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := number.Float64()
	if err != nil || seconds <= 0 || seconds > maxSeconds {
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second)))
}
