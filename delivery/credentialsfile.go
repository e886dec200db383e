package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// CredentialsFile is one profile of a shared credentials file ("Shared config and
// credentials files", AWS SDKs and Tools Reference Guide), for programs that know no
// other way and read the file anew. All else in the file stays as it is.
type CredentialsFile struct {
	Path    string
	Section string // the profile's name in the file
}

// The section ends with a line of its own, so that what people write below it is theirs.
const (
	sectionBegins = "# kept by keyless until its end: do not edit"
	sectionEnds   = "# end of what keyless keeps"
)

// changedTries bounds how often a file that others write to is read again.
const changedTries = 10

// Write puts the credentials into the section. A section that somebody else wrote is an
// error, and stays.
func (c CredentialsFile) Write(credentials keyless.Credentials) error {
	if credentials.AccessKeyID == "" || credentials.SecretAccessKey.IsZero() || credentials.SessionToken.IsZero() {
		return c.fail(errors.New("the credentials are empty"))
	}
	return c.edit(c.lines(credentials))
}

// Remove takes the section out of the file.
func (c CredentialsFile) Remove() error { return c.edit(nil) }

func (c CredentialsFile) lines(v keyless.Credentials) []byte {
	return fmt.Appendf(nil, "[%s]\n%s\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\nx_security_token_expires = %s\n%s\n",
		c.Section, sectionBegins, v.AccessKeyID, v.SecretAccessKey.Reveal(), v.SessionToken.Reveal(), v.Expiry.UTC().Truncate(time.Second).Format(time.RFC3339), sectionEnds)
}

// edit replaces the section by lines, again if the file changed meanwhile: there is no
// lock that all who write to it know.
func (c CredentialsFile) edit(lines []byte) error {
	for range changedTries {
		before, state, err := read(c.Path)
		if err != nil {
			return c.fail(err)
		}
		after, err := c.replace(before, lines)
		if err != nil {
			return c.fail(err)
		}
		if bytes.Equal(before, after) {
			return nil
		}
		if _, now, err := read(c.Path); err != nil || now != state {
			continue
		}
		if len(bytes.TrimSpace(after)) == 0 {
			return File{Path: c.Path}.Remove()
		}
		return File{Path: c.Path}.Write(after)
	}
	return c.fail(errors.New("it changes all the time"))
}

// read returns the file and what tells it from another; a missing one is empty.
func read(path string) (data []byte, state string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	data, err = os.ReadFile(path)
	return data, fmt.Sprint(info.Size(), info.ModTime().UnixNano()), err
}

// replace returns text with lines in the place of the section.
func (c CredentialsFile) replace(text, lines []byte) ([]byte, error) {
	begin, end, err := c.find(text)
	if err != nil {
		return nil, err
	}
	if begin < 0 {
		return add(text, lines), nil
	}
	return bytes.Join([][]byte{text[:begin], lines, text[end:]}, nil), nil
}

// add puts lines at the end, where they begin a line.
func add(text, lines []byte) []byte {
	if len(lines) > 0 && len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(bytes.Clone(text), '\n')
	}
	return bytes.Join([][]byte{text, lines}, nil)
}

// find returns where the section is; begin is negative if there is none.
func (c CredentialsFile) find(text []byte) (begin, end int, err error) {
	begin = -1
	at := 0
	for line := range bytes.Lines(text) {
		words := strings.TrimSpace(string(line))
		next := at + len(line)
		switch {
		case begin < 0 && isHeader(words, c.Section):
			begin = at
		case begin >= 0 && end == 0: // the line after the header
			if words != sectionBegins {
				return 0, 0, fmt.Errorf("profile %q stands in it already, and is not keyless's: choose another name, or remove it", c.Section)
			}
			end = next
		case begin >= 0 && words == sectionEnds:
			return begin, next, nil
		case begin >= 0 && strings.HasPrefix(words, "["):
			return begin, at, nil // somebody took the end away
		}
		at = next
	}
	if begin >= 0 && end == 0 {
		return 0, 0, fmt.Errorf("profile %q stands in it already, and is not keyless's: choose another name, or remove it", c.Section)
	}
	return begin, len(text), nil
}

func isHeader(line, section string) bool {
	inner, found := strings.CutPrefix(line, "[")
	name, _, closed := strings.Cut(inner, "]")
	return found && closed && strings.TrimSpace(name) == section
}

func (c CredentialsFile) fail(err error) error { return File{Path: c.Path}.fail(err) }
