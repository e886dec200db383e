package isolation

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestWhyThereIsNoPlaceToBeHad(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		knobs map[string]string
		want  string
	}{
		"AppArmor":     {syscall.EPERM, map[string]string{knobAppArmor: "1"}, "kernel.apparmor_restrict_unprivileged_userns"},
		"old Debian":   {syscall.EPERM, map[string]string{knobDebian: "0"}, "kernel.unprivileged_userns_clone=1"},
		"switched off": {syscall.EPERM, map[string]string{knobUsers: "0"}, "user.max_user_namespaces"},
		"too many":     {syscall.ENOSPC, nil, "the limit on namespaces is reached"},
		"a container":  {syscall.EPERM, nil, "seccomp"},
		"else":         {syscall.EINVAL, nil, "without --isolated"},
	} {
		err := error(refused("namespaces", c.err, func(path string) string { return c.knobs[path] }))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, c.want) || !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), "isolation: namespaces: ") {
			t.Errorf("%s: %v; %s", name, err, e.Hint)
		}
	}
}
