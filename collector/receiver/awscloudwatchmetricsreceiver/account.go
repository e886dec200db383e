package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
)

// account is one account, reached by its roles.
type account struct {
	Config AccountConfig
	From   keyless.CredentialsProvider
	id     string
	sites  []*site
}

// name is the account's number, or until that is known what the configuration says.
func (a *account) name() string {
	if n := len(a.Config.RoleARNs); a.id == "" && n > 0 {
		return a.Config.RoleARNs[n-1]
	}
	return firstOf(a.id, "own account")
}

// chain goes from credentials through the roles.
func chain(c *Config, a AccountConfig, from keyless.CredentialsProvider, client *http.Client) (keyless.CredentialsProvider, error) {
	if len(a.RoleARNs) == 0 {
		return from, nil
	}
	endpoint, err := c.endpoint(serviceSTS, home(a.Regions))
	if err != nil {
		return nil, err
	}
	steps := make([]awssts.AssumeRole, len(a.RoleARNs))
	for i, role := range a.RoleARNs {
		steps[i] = awssts.AssumeRole{RoleARN: role, SessionName: a.SessionName, Region: home(a.Regions), Endpoint: endpoint, Client: client}
	}
	steps[len(steps)-1].ExternalID = a.ExternalID
	return keyless.CachedCredentialsLazily(keyless.CredentialsProviderFunc(func(ctx context.Context) (keyless.Credentials, error) {
		credentials, err := from.Credentials(ctx)
		for i := 0; i < len(steps) && err == nil; i++ {
			credentials, err = steps[i].Assume(ctx, credentials)
		}
		return credentials, err
	})), nil
}

// home is the region that is asked about the account itself.
func home(regions []string) string {
	for _, region := range regions {
		if region != anyValue {
			return region
		}
	}
	return "us-east-1"
}

type callerAnswer struct {
	Account string `xml:"GetCallerIdentityResult>Account"`
}

// whose asks which account credentials belong to; nothing can forbid that.
func whose(ctx context.Context, sts *service) (string, error) {
	body, err := sts.call(ctx, queryMessage(opCaller, "2011-06-15", url.Values{}))
	if err != nil {
		return "", err
	}
	var answer callerAnswer
	if err := xml.Unmarshal(body, &answer); err != nil || answer.Account == "" {
		return "", fmt.Errorf("%s: the answer names no account", sts.op(opCaller))
	}
	return answer.Account, nil
}

// resolve finds out once which account it is, and its regions.
func (a *account) resolve(ctx context.Context, p *poller) error {
	if a.sites != nil {
		return nil
	}
	region := home(a.Config.Regions)
	sts, err := p.service(a, region, serviceSTS)
	if err != nil {
		return err
	}
	if a.id, err = whose(ctx, sts); err != nil {
		return err
	}
	regions := slices.Clone(a.Config.Regions)
	if slices.Contains(regions, anyValue) {
		s, err := p.service(a, region, serviceEC2)
		if err != nil {
			return err
		}
		if regions, err = (ec2{s}).regions(ctx); err != nil {
			return err
		}
	}
	p.logger.Info("an account is read", accountField(a.id), regionsField(regions), zap.Stringer("provider", p.provider))
	var sites []*site
	for _, region := range regions {
		s, err := p.site(a, region)
		if err != nil {
			return err
		}
		sites = append(sites, s)
	}
	a.sites = sites
	return nil
}
