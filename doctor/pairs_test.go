package doctor_test

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/keyless-id/keyless/doctor"
	"github.com/keyless-id/keyless/sandbox"
)

// together sets two faults of the same set-up; false: they do not go together.
func together(t *testing.T, a, b fault) (s *setup, ok bool) {
	t.Helper()
	defer func() { ok = recover() == nil }()
	s = a.set(t)
	around := s.around
	b.do(t, s)
	if around != nil && reflect.ValueOf(around).Pointer() != reflect.ValueOf(s.around).Pointer() {
		panic("both stand in the way")
	}
	if (s.host == sandbox.HostEC2 || s.host == sandbox.HostContainer) && s.world.Host.RoleARN == "" {
		panic("such a host is none")
	}
	s.blind = s.blind || b.unread
	return s, true
}

// Of two faults at once one is named, and the workload's failure is never missed; the
// harness looks for that and for leaks.
func TestOfTwoFaultsOneIsNamed(t *testing.T) {
	certificate()
	all := faults()
	random := rand.New(rand.NewPCG(3, 4))
	tried := 0
	for range 1500 {
		a, b := all[random.IntN(len(all))], all[random.IntN(len(all))]
		if a.name == b.name || reflect.ValueOf(a.base).Pointer() != reflect.ValueOf(b.base).Pointer() {
			continue
		}
		tried++
		t.Run(a.name+", and "+b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ok := together(t, a, b)
				if !ok {
					return
				}
				if found := cause(s.examine(t)); found.Code == "" || found.Fix == "" {
					t.Errorf("nothing is named: %+v", found)
				} else if _, known := doctor.Explain(found.Code); !known {
					t.Errorf("nothing explains %q", found.Code)
				}
			})
		})
	}
	if tried < 200 {
		t.Errorf("%d pairs, want 200", tried)
	}
}
