package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/profile"
)

// weather is a far side that fails in every way there is, at random.
type weather struct {
	mu     sync.Mutex
	random *rand.Rand
	bad    bool // an outage: nothing succeeds
	asked  int
	best   time.Time // until when the best that was handed out is good
	since  time.Time // the last success
}

var errWeather = errors.New("weather")

func (w *weather) Exchange(ctx context.Context, _ keyless.Token) (keyless.Credentials, error) {
	w.mu.Lock()
	kind, delay, bad := w.random.IntN(12), time.Duration(w.random.IntN(40))*time.Second, w.bad
	w.asked++
	number := w.asked
	w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopExchange, Temporary: true, Err: ctx.Err()}
	}
	now := time.Now()
	good := keyless.Credentials{
		AccessKeyID: "ASIA" + strconv.Itoa(number), SecretAccessKey: keyless.NewSecret("hunter2"), SessionToken: keyless.NewSecret("hunter3-" + strconv.Itoa(number)),
		Obtained: now, Expiry: now.Add(time.Hour), AccountID: "111122223333",
	}
	switch {
	case bad && kind < 6, kind == 0:
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopExchange, Temporary: true, RetryAfter: time.Duration(number%90) * time.Second, Err: errWeather}
	case bad, kind == 1:
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied", Err: errWeather}
	case kind == 2: // dead on arrival
		good.Expiry = now.Add(-time.Second)
		return good, nil
	case kind == 3: // no credentials at all
		return keyless.Credentials{Expiry: now.Add(time.Hour)}, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.best, w.since = good.Expiry, now
	return good, nil
}

func (w *weather) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = w.random.IntN(4) == 0 // a quarter of all half hours is an outage
}

// The whole of a day, as a client sees it: whatever the far side does, never credentials
// that are empty, partial or expired, and never none while some are good; and always 20
// minutes left, unless asking has failed for long.
func TestADayOfBadWeather(t *testing.T) {
	for _, shared := range []bool{false, true} {
		for seed := range uint64(4) {
			t.Run(strconv.FormatBool(shared)+strconv.FormatUint(seed, 10), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "cache")
				synctest.Test(t, func(t *testing.T) {
					var memory profile.Memory
					if shared {
						cache, err := filecache.Open([]string{dir})
						if err != nil {
							t.Fatal(err)
						}
						memory.Cache = cache
					}
					liveADay(t, memory, &weather{random: rand.New(rand.NewPCG(seed, 1))})
				})
			})
		}
	}
}

func liveADay(t *testing.T, memory profile.Memory, w *weather) {
	t.Helper()
	k := newKeeper(&profile.Selected{Name: "p", Profile: profile.Profile{AWS: &profile.AWS{RoleARN: "arn"}}}, fair(w), memory, nil)
	k.start()
	defer endOf(k)
	served := 0
	for minute := range 24 * 60 {
		if minute%30 == 0 {
			w.turn()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if look(t, k, w) {
			served++
		}
	}
	if served < 12*60 { // look finds what is wrong; a day without credentials would show nothing
		t.Errorf("only %d minutes of the day were served", served)
	}
	if w.asked > 24*70 {
		t.Errorf("the far side was asked %d times", w.asked)
	}
}

// endOf ends a keeper, and the request that is under way.
func endOf(k *keeper) {
	k.end()
	time.Sleep(time.Minute)
}

// fair is a profile whose exchange is the weather.
func fair(w keyless.Exchanger) *profile.Built {
	token := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret("hunter4"), Obtained: time.Now(), Expiry: time.Now().Add(time.Hour)}, nil
	})
	return &profile.Built{Source: token, Exchanger: w, SourceKey: "token-1", CredentialsKey: "aws-1", Attempt: "1"}
}

// look asks as a client does.
func look(t *testing.T, k *keeper, w *weather) bool {
	t.Helper()
	answer := httptest.NewRecorder()
	door := &endpoint.Door{Issue: &endpoint.Issue{Latest: k.credentials.Latest, Audit: slog.New(slog.DiscardHandler)}}
	door.HandOver(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	w.mu.Lock()
	best, since := w.best, w.since
	w.mu.Unlock()
	if answer.Code != http.StatusOK {
		if left := time.Until(best); left > time.Minute+time.Second { // a document has whole seconds
			t.Fatalf("%s: %d %s while there are credentials for %s", time.Now(), answer.Code, answer.Body, left)
		}
		return false
	}
	var document struct {
		AccessKeyID, SecretAccessKey, Token string
		Expiration                          time.Time
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil || document.SecretAccessKey != "hunter2" || len(document.Token) < 9 {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	left := time.Until(document.Expiration)
	if left <= 0 || left < 20*time.Minute && time.Since(since) < 10*time.Minute {
		t.Fatalf("%s: %s left, %s after the last success", time.Now(), left, time.Since(since))
	}
	return true
}

// Item 15: an hour of refusals is no storm.
func TestAnHourOfRefusalsIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &refusing{}
		k := newKeeper(&profile.Selected{Name: "p", Profile: profile.Profile{AWS: &profile.AWS{RoleARN: "arn"}}}, fair(w), profile.Memory{}, nil)
		k.start()
		defer endOf(k)
		time.Sleep(time.Hour)
		synctest.Wait()
		if w.asked < 50 || w.asked > 90 {
			t.Errorf("asked %d times", w.asked)
		}
	})
}

type refusing struct{ asked int }

func (r *refusing) Exchange(context.Context, keyless.Token) (keyless.Credentials, error) {
	r.asked++
	return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied"}
}

// Item 8: who has read the old token just now is let in.
func TestTheOldTokenIsGoodForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		p := &pass{}
		p.file.Path = path
		if !p.due(0) {
			t.Error("there is none yet")
		}
		for range 2 {
			if err := p.renew(); err != nil {
				t.Fatal(err)
			}
		}
		if good := p.good(); len(good) != 2 || good[0].Equal(good[1]) {
			t.Errorf("%d are good", len(good))
		}
		if p.due(0) || p.due(time.Hour) {
			t.Error("it is new")
		}
		time.Sleep(passGrace + time.Second)
		if good := p.good(); len(good) != 1 {
			t.Errorf("%d are good after the grace", len(good))
		}
		time.Sleep(time.Hour)
		if !p.due(time.Hour) || p.due(0) {
			t.Error("it is an hour old")
		}
		p.file.Path = filepath.Join(path, "nowhere")
		before := p.good()[0]
		if err := p.renew(); err == nil || !p.good()[0].Equal(before) || len(p.good()) != 1 {
			t.Error("a token that could not be written took the place of one that was")
		}
	})
}
