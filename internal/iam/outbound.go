package iam

import (
	"context"
	"errors"
)

// OutboundIssuer returns the issuer of the account's own tokens; empty: the account
// issues none ("GetOutboundWebIdentityFederationInfo", IAM API Reference).
func (c Client) OutboundIssuer(ctx context.Context) (string, error) {
	var answer struct {
		Issuer  string `xml:"GetOutboundWebIdentityFederationInfoResult>IssuerIdentifier"`
		Enabled bool   `xml:"GetOutboundWebIdentityFederationInfoResult>JwtVendingEnabled"`
	}
	err := c.ask(ctx, "GetOutboundWebIdentityFederationInfo", nil, &answer)
	switch {
	case Is(err, CodeOutboundDisabled) || Is(err, CodeOutboundDisabled+"Exception"):
		return "", nil
	case err != nil:
		return "", err
	case !answer.Enabled:
		return "", nil
	}
	return answer.Issuer, nil
}

// EnableOutbound lets the account issue tokens and returns their issuer.
func (c Client) EnableOutbound(ctx context.Context) (string, error) {
	const action = "EnableOutboundWebIdentityFederation"
	var answer struct {
		Issuer string `xml:"EnableOutboundWebIdentityFederationResult>IssuerIdentifier"`
	}
	err := c.ask(ctx, action, nil, &answer)
	if Is(err, CodeOutboundEnabled) || Is(err, CodeOutboundEnabled+"Exception") {
		return c.OutboundIssuer(ctx)
	}
	if err == nil && answer.Issuer == "" {
		return "", wrong(action, errors.New("the answer has no IssuerIdentifier"))
	}
	return answer.Issuer, err
}
