package iam

import (
	"context"
	"errors"
	"strconv"
)

// Provider is an OIDC provider of the account: an issuer whose tokens it takes.
type Provider struct {
	ARN         string
	URL         string // of the issuer; IAM leaves out its https:// in answers
	ClientIDs   []string
	Thumbprints []string
	Tags        map[string]string
}

// Provider returns an OIDC provider. The code of one that there is none of is
// [CodeNoSuchEntity].
func (c Client) Provider(ctx context.Context, arn string) (Provider, error) {
	var answer struct {
		Found struct {
			URL         string   `xml:"Url"`
			ClientIDs   []string `xml:"ClientIDList>member"`
			Thumbprints []string `xml:"ThumbprintList>member"`
			Tags        []tag    `xml:"Tags>member"`
		} `xml:"GetOpenIDConnectProviderResult"`
	}
	if err := c.ask(ctx, "GetOpenIDConnectProvider", parameters{"OpenIDConnectProviderArn": arn}, &answer); err != nil {
		return Provider{}, err
	}
	found := answer.Found
	if found.URL == "" {
		return Provider{}, wrong("GetOpenIDConnectProvider", errors.New("the answer has no URL"))
	}
	return Provider{ARN: arn, URL: found.URL, ClientIDs: found.ClientIDs, Thumbprints: found.Thumbprints, Tags: tagMap(found.Tags)}, nil
}

// Providers returns the ARNs of all OIDC providers of the account.
func (c Client) Providers(ctx context.Context) ([]string, error) {
	var answer struct {
		ARNs []string `xml:"ListOpenIDConnectProvidersResult>OpenIDConnectProviderList>member>Arn"`
	}
	err := c.ask(ctx, "ListOpenIDConnectProviders", nil, &answer)
	return answer.ARNs, err
}

// CreateProvider creates an OIDC provider and returns its ARN. Without thumbprints IAM
// goes by its own library of certificate authorities.
func (c Client) CreateProvider(ctx context.Context, wanted Provider) (string, error) {
	p := parameters{"Url": wanted.URL}
	p.setList("ClientIDList", wanted.ClientIDs)
	p.setList("ThumbprintList", wanted.Thumbprints)
	p.setTags(wanted.Tags)
	var answer struct {
		ARN string `xml:"CreateOpenIDConnectProviderResult>OpenIDConnectProviderArn"`
	}
	if err := c.ask(ctx, "CreateOpenIDConnectProvider", p, &answer); err != nil {
		return "", err
	}
	if answer.ARN == "" {
		return "", wrong("CreateOpenIDConnectProvider", errors.New("the answer has no ARN"))
	}
	return answer.ARN, nil
}

func (p parameters) setList(name string, values []string) {
	for i, value := range values {
		p[name+".member."+strconv.Itoa(i+1)] = value
	}
}

// AddClientID lets a provider take tokens for one more audience. One that it takes
// already is no error.
func (c Client) AddClientID(ctx context.Context, arn, clientID string) error {
	return c.ask(ctx, "AddClientIDToOpenIDConnectProvider", parameters{"OpenIDConnectProviderArn": arn, "ClientID": clientID}, nil)
}

// RemoveClientID ends that. One that is not there is no error.
func (c Client) RemoveClientID(ctx context.Context, arn, clientID string) error {
	return c.ask(ctx, "RemoveClientIDFromOpenIDConnectProvider", parameters{"OpenIDConnectProviderArn": arn, "ClientID": clientID}, nil)
}

// TagProvider adds tags to a provider.
func (c Client) TagProvider(ctx context.Context, arn string, tags map[string]string) error {
	p := parameters{"OpenIDConnectProviderArn": arn}
	p.setTags(tags)
	return c.ask(ctx, "TagOpenIDConnectProvider", p, nil)
}

// DeleteProvider deletes a provider, whether or not roles name it.
func (c Client) DeleteProvider(ctx context.Context, arn string) error {
	return c.ask(ctx, "DeleteOpenIDConnectProvider", parameters{"OpenIDConnectProviderArn": arn}, nil)
}
