package awssts

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
)

// Limits of the API reference of AssumeRole and AssumeRoleWithWebIdentity.
const (
	minDuration = 15 * time.Minute
	maxDuration = 12 * time.Hour
	maxChained  = time.Hour
	maxPolicy   = 2048 // of the policy and of all policy ARNs together
	maxPolicies = 10
	minName     = 2
	maxName     = 64
	minARN      = 20
	maxARN      = 2048
	maxToken    = 20000
)

var (
	roleARN   = pattern.Lazy(`^arn:([a-z0-9-]+):iam::([0-9]{12}):role/([\x21-\x7E]*/)?[\w+=,.@-]+$`)
	anyARN    = pattern.Lazy(`^arn:[\x21-\x7E]+$`)
	policyARN = pattern.Lazy(`^arn:[a-z0-9-]+:iam::([0-9]{12}|aws):policy/[\x21-\x7E]+$`)
	name      = pattern.Lazy(`^[\w+=,.@-]+$`)
)

// role is what both calls have in common.
type role struct {
	arn        string
	session    string
	duration   time.Duration
	longest    time.Duration
	policy     string
	policyARNs []string
	region     string
	fips       bool
	dualStack  bool
	endpoint   string
}

func (r role) validate() error {
	for _, check := range []func() error{r.checkARN, r.checkSession, r.checkDuration, r.checkPolicy} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := r.address()
	return err
}

// checkARN is strict for AWS. Other far sides, which only an explicit endpoint can
// reach, have ARNs of their own: MinIO's begin with arn:minio:iam:::role/.
func (r role) checkARN() error {
	switch {
	case r.arn == "":
		return errors.New("no role ARN")
	case len(r.arn) < minARN || len(r.arn) > maxARN:
		return fmt.Errorf("role ARN %q: want %d to %d characters", wire.Quote(r.arn), minARN, maxARN)
	case r.foreign():
		return nil
	case !roleARN().MatchString(r.arn) || len(r.arn)-1-strings.LastIndexByte(r.arn, '/') > maxName:
		return fmt.Errorf("role ARN %q: want arn:aws:iam::ACCOUNT:role/NAME with an account of 12 digits", wire.Quote(r.arn))
	}
	if _, known := partitionNamed(r.partition()); !known {
		return fmt.Errorf("role ARN %q: partition %q is unknown", r.arn, r.partition())
	}
	return nil
}

// partition is empty for ARNs that are not AWS's.
func (r role) partition() string {
	if found := roleARN().FindStringSubmatch(r.arn); found != nil {
		return found[1]
	}
	return ""
}

func (r role) checkSession() error {
	if r.session != "" && (len(r.session) < minName || len(r.session) > maxName || !name().MatchString(r.session)) {
		return fmt.Errorf("session name %q: want %d to %d letters, digits or any of _+=,.@-", wire.Quote(r.session), minName, maxName)
	}
	return nil
}

func (r role) checkDuration() error {
	switch {
	case r.duration == 0:
		return nil
	case r.duration < minDuration || r.duration > maxDuration || r.duration%time.Second != 0:
		return fmt.Errorf("duration %s: want whole seconds from 15m to 12h", r.duration)
	case r.duration > r.longest:
		return fmt.Errorf("duration %s: a role that is assumed with another role's credentials (chaining) lasts one hour at most", r.duration)
	}
	return nil
}

func (r role) checkPolicy() error {
	if len(r.policy) > maxPolicy {
		return fmt.Errorf("session policy of %d characters: want %d at most", len(r.policy), maxPolicy)
	}
	if r.policy != "" && !json.Valid([]byte(r.policy)) {
		return errors.New("session policy: not JSON")
	}
	if len(r.policyARNs) > maxPolicies {
		return fmt.Errorf("%d policy ARNs: want %d at most", len(r.policyARNs), maxPolicies)
	}
	for _, arn := range r.policyARNs {
		if !r.foreign() && !policyARN().MatchString(arn) {
			return fmt.Errorf("policy ARN %q: want arn:aws:iam::ACCOUNT:policy/NAME", wire.Quote(arn))
		}
	}
	return nil
}

// address is where to ask: the endpoint if one is given, else the region's.
func (r role) address() (string, error) {
	address := r.endpoint
	if address == "" {
		var err error
		if address, err = Endpoint(r.region, r.partition(), r.fips, r.dualStack); err != nil {
			return "", err
		}
	}
	base, err := wire.Endpoint(address)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	if base.Path == "" {
		base.Path = "/"
	}
	return base.String(), nil
}

// form holds the parameters that both calls share.
func (r role) form(action, session string) url.Values {
	form := url.Values{
		"Action":          {action},
		"Version":         {"2011-06-15"},
		"RoleArn":         {r.arn},
		"RoleSessionName": {session},
	}
	if r.duration != 0 {
		form.Set("DurationSeconds", strconv.FormatInt(int64(r.duration/time.Second), 10))
	}
	if r.policy != "" {
		form.Set("Policy", r.policy)
	}
	for i, arn := range r.policyARNs {
		form.Set("PolicyArns.member."+strconv.Itoa(i+1)+".arn", arn)
	}
	return form
}

// foreign reports whether the role is not AWS's: other implementations of STS, at an
// address of their own, have ARNs of their own.
func (r role) foreign() bool {
	return r.endpoint != "" && anyARN().MatchString(r.arn) && !strings.HasPrefix(r.arn, "arn:aws")
}

// account is the role's account; empty for ARNs that are not AWS's.
func account(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || len(parts[4]) != 12 || strings.Trim(parts[4], "0123456789") != "" {
		return ""
	}
	return parts[4]
}
