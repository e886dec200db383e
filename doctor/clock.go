package doctor

import (
	"fmt"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// How far clocks may be apart: two honest ones, with room for slow answers; and two
// whose signatures AWS still takes ("Troubleshooting SigV4": most services, 5 minutes).
const (
	honestSkew = 2 * time.Minute
	maxSkew    = 5 * time.Minute
)

// clock compares this machine's clock with those of the far sides that were asked.
func (e *evidence) clock() Finding {
	ahead, told, ok := e.seen.skew()
	if !ok {
		return Finding{}
	}
	f := Finding{Check: "clock", Hop: keyless.HopSource, Verdict: OK, Summary: "this machine's clock agrees with the far sides'"}
	if ahead.Abs() <= honestSkew {
		return f
	}
	f.Verdict, f.Code, f.Evidence = Warning, "clock-behind", told
	direction := "behind"
	if ahead < 0 {
		f.Code, direction = "clock-ahead", "ahead of"
	}
	if ahead.Abs() >= maxSkew {
		f.Verdict = Failed
	}
	f.Summary = fmt.Sprintf("this machine's clock is %s %s the far sides'", span(ahead.Abs()), direction)
	f.Fix = "set the clock: certificates, signatures and tokens are refused when they seem to be from another time\nsudo timedatectl set-ntp true\nsudo chronyc makestep"
	return f
}
