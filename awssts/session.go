package awssts

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/pattern"
)

var foreign = pattern.Lazy(`[^\w+=,.@-]+`)

// SessionOf is what the session for a token will be called; empty if the token is none.
func (w WebIdentity) SessionOf(subject keyless.Token) string {
	claims, err := jwtpeek.Unverified(subject.Value.Reveal())
	if w.SessionName != "" || err != nil {
		return w.SessionName
	}
	return sessionName(claims)
}

// sessionName names a session after the identity, so that CloudTrail says who it
// was: the managed identity's or machine's own name, else the subject, and eight
// digits that tell namesakes apart. The same identity always gets the same name.
func sessionName(claims jwtpeek.Claims) string {
	sum := sha256.Sum256([]byte(claims.Issuer + "\n" + claims.Subject))
	suffix := "-" + hex.EncodeToString(sum[:4])
	base := strings.Trim(foreign().ReplaceAllString(readableName(claims), "-"), "-")
	if most := maxName - len(suffix); len(base) > most {
		base = strings.Trim(base[len(base)-most:], "-") // the end of a path says most
	}
	if base == "" {
		base = "keyless"
	}
	return base + suffix
}

func readableName(claims jwtpeek.Claims) string {
	if id, _ := claims.All["xms_mirid"].(string); id != "" {
		return path.Base(id)
	}
	for _, name := range []string{claims.Subject, claims.ObjectID, claims.AppID} {
		if name != "" {
			return name
		}
	}
	return ""
}
