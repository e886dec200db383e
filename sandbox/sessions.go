package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"
	"time"
)

// identity is whoever signs requests: a user, or the session of a role.
type identity struct {
	accessKeyID string
	secretKey   string
	token       string    // empty for users
	expiry      time.Time // zero for users
	account     *account
	arn         string
	userID      string

	role           *role // nil for users
	tags           map[string]string
	sourceIdentity string
}

func (a *account) user(u AccessKey) *identity {
	return &identity{
		accessKeyID: u.AccessKeyID, secretKey: u.SecretAccessKey, account: a,
		arn:    a.arn("user/" + u.UserName),
		userID: uniqueID("AIDA", a.ID+"/"+u.UserName),
	}
}

// letters writes a byte as a letter or digit, as AWS's ids have them.
func letters(data []byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	text := make([]byte, len(data))
	for i, b := range data {
		text[i] = alphabet[int(b)%len(alphabet)]
	}
	return string(text)
}

// uniqueID makes the ids that IAM gives to roles and users; the same name always
// gets the same.
func uniqueID(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + letters(sum[:17])
}

// namedGUID is the GUID of something that has a name; the same name always gets the same.
func namedGUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return formatGUID(sum[:16])
}

// sessionTokenBytes makes tokens of about the usual length.
const sessionTokenBytes = 600

func (s *Sandbox) newSession(r *role, name string, expiry time.Time) *identity {
	return &identity{
		accessKeyID: "ASIA" + letters(randomBytes(16)),
		secretKey:   base64.StdEncoding.EncodeToString(randomBytes(30)),
		token:       "IQoJb3JpZ2luX2Vj" + base64.StdEncoding.EncodeToString(randomBytes(sessionTokenBytes)),
		expiry:      expiry.Truncate(time.Second), account: r.account, role: r,
		arn:    "arn:" + r.account.Partition + ":sts::" + r.account.ID + ":assumed-role/" + r.Name + "/" + name,
		userID: r.id + ":" + name,
	}
}

func (i *identity) assumedRole() xmlAssumedRole { return xmlAssumedRole{i.userID, i.arn} }

func (i *identity) credentials() xmlCredentials {
	return xmlCredentials{i.accessKeyID, i.secretKey, i.token, i.expiry.UTC().Format("2006-01-02T15:04:05Z")}
}

// sessionStore remembers sessions also after their end, to be able to say that
// they have expired.
type sessionStore struct {
	mu       sync.Mutex
	sessions map[string]*identity // by access key id
}

const maxSessions = 100000

func (t *sessionStore) add(i *identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions == nil || len(t.sessions) >= maxSessions {
		t.sessions = map[string]*identity{}
	}
	t.sessions[i.accessKeyID] = i
}

func (t *sessionStore) get(accessKeyID string) *identity {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sessions[accessKeyID]
}

// signer finds the owner of an access key.
func (s *Sandbox) signer(accessKeyID string) *identity {
	if user := s.index.users[accessKeyID]; user != nil {
		return user
	}
	return s.sessions.get(accessKeyID)
}
