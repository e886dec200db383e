// Package warm answers credential-process from the cache before the rest of the
// program has initialised.
//
// The Go runtime initialises packages in the order of their import paths as soon as
// what they import is ready. This package imports nothing that net/http is part of,
// so its init runs first, and a cached answer costs little more than an empty
// program. Any doubt falls through to main, which knows everything.
package warm

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/filecache"
)

// Command is the subcommand that the warm path serves.
const Command = "credential-process"

func init() {
	if len(os.Args) < 2 || os.Args[1] != Command || os.Getenv("KEYLESS_WARM") == "off" {
		return
	}
	if payload, ok := lookUp(os.Args[1:], os.Environ(), time.Now()); ok {
		if _, err := os.Stdout.Write(payload); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// lookUp finds the answer that main gave to the same words in the same environment.
func lookUp(args, environ []string, now time.Time) ([]byte, bool) {
	getenv := getter(environ)
	cache, ok := filecache.Find(filecache.Dirs(getenv))
	if !ok {
		return nil, false
	}
	data, err := cache.Shortcut(name(args, environ))
	if err != nil {
		return nil, false
	}
	s, ok := parse(string(data))
	if !ok || s.Proof != s.prove(getenv) {
		return nil, false
	}
	entry, err := cache.ReadEntry(s.Key)
	if err != nil || !entry.Fresh(now) {
		return nil, false
	}
	return entry.Payload, true
}

// Shortcut leads from a command line to its cache entry.
type Shortcut struct {
	Key    string   // of the cache entry
	Config string   // absolute path of the configuration file that was read; may be empty
	Env    []string // names of variables that it refers to
	Proof  string   // digest of the file's identity and the variables' values
}

const magic = "keyless-shortcut/1"

// Remember writes the shortcut of the command line args, without the program's name.
func Remember(cache *filecache.Cache, args, environ []string, s Shortcut) error {
	s.Proof = s.prove(getter(environ))
	if s.Proof == "" {
		return nil
	}
	text := strings.Join([]string{magic, s.Key, s.Config, strings.Join(s.Env, ","), s.Proof, ""}, "\n")
	return cache.SetShortcut(name(args, environ), []byte(text))
}

func parse(text string) (Shortcut, bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[0] != magic || strings.ContainsAny(lines[1], "/\\") {
		return Shortcut{}, false
	}
	s := Shortcut{Key: lines[1], Config: lines[2], Proof: lines[4]}
	if lines[3] != "" {
		s.Env = strings.Split(lines[3], ",")
	}
	return s, true
}

// name is a digest of all that picks the profile and changes the answer, but for
// what the configuration file says.
func name(args, environ []string) string {
	relevant := slices.Clone(args)
	start := len(relevant)
	for _, variable := range environ {
		if isRelevant(variable) {
			relevant = append(relevant, variable)
		}
	}
	slices.Sort(relevant[start:])
	return filecache.Digest(relevant)
}

// isRelevant errs on the safe side: a variable too many costs a millisecond.
func isRelevant(variable string) bool {
	for _, prefix := range []string{"AWS_", "AZURE_", "KEYLESS_", "XDG_", "IDENTITY_", "IMDS_", "MSI_", "DEFAULT_IDENTITY_CLIENT_ID=", "SYSTEM_OIDCREQUESTURI=", "SYSTEM_ACCESSTOKEN=", "HOME=", "CACHE_DIRECTORY=", "LOCALAPPDATA="} {
		if strings.HasPrefix(variable, prefix) {
			return true
		}
	}
	return false
}

// prove digests the file's identity and the variables' values; "" if the file is gone.
func (s Shortcut) prove(getenv func(string) string) string {
	parts := []string{s.Key}
	if s.Config != "" {
		info, err := os.Stat(s.Config)
		if err != nil {
			return ""
		}
		parts = append(parts, strconv.FormatInt(info.Size(), 10), strconv.FormatInt(info.ModTime().UnixNano(), 10), fileID(info))
	}
	for _, name := range s.Env {
		parts = append(parts, name, getenv(name))
	}
	return filecache.Digest(parts)
}

func getter(environ []string) func(string) string {
	return func(name string) string {
		for _, variable := range slices.Backward(environ) {
			if value, ok := strings.CutPrefix(variable, name+"="); ok {
				return value
			}
		}
		return ""
	}
}
