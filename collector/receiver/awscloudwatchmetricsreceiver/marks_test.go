package awscloudwatchmetricsreceiver

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestAMarkIsASetOfTheLatestPeriods(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var m mark
		taken, head := map[uint32]bool{}, uint32(0)
		for range 300 {
			slot := 1000 + uint32(random.IntN(500))
			if want := taken[slot] || head > 0 && slot+memorySlots <= head; m.has(slot) != want {
				t.Fatalf("slot %d of head %d: %v, want %v", slot, head, m.has(slot), want)
			}
			m.add(slot)
			taken[slot], head = true, max(head, slot)
		}
	}
}

func TestTheCursorComesBackAsItWas(t *testing.T) {
	all := map[uint64]*mark{}
	for i := range uint64(500) {
		m := &mark{through: uint32(i + 7)}
		m.add(uint32(1000 + i))
		m.add(uint32(1002 + i*3))
		all[hash(i).spread()] = m
	}
	got, err := decodeMarks(encodeMarks(all))
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("%d marks, %v", len(got), err)
	}
}

func TestADamagedCursorIsNone(t *testing.T) {
	data := encodeMarks(map[uint64]*mark{1: {head: 5, through: 6}})
	for name, bad := range map[string][]byte{
		"cut": data[:len(data)-1], "longer": append(bytes.Clone(data), 0), "version": append([]byte{9}, data[1:]...), "short": {1}, "a bit": append([]byte{1, 1}, data[2:]...),
	} {
		if _, err := decodeMarks(bad); err == nil {
			t.Errorf("%s: taken for a cursor", name)
		}
	}
	h := newHost()
	m := &marks{Client: disk{h}, Prefix: "v1/a/r", Keep: 10}
	e := &entity{Namespace: "AWS/EC2", Dimensions: []dimension{{"InstanceId", "i-1"}}}
	h.disk[m.key(e.bucket())] = []byte("rubbish")
	if got, err := m.of(t.Context(), e.series("CPUUtilization", statAverage, 300)); err != nil || got.head != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMarksOfWhatIsGoneAreForgotten(t *testing.T) {
	h := newHost()
	m := &marks{Client: disk{h}, Prefix: "v1/a/r", Keep: 10}
	e := &entity{Namespace: "AWS/EC2", Dimensions: []dimension{{"InstanceId", "i-1"}}}
	touched := map[uint8]struct{}{e.bucket(): {}}
	for metric, through := range map[string]uint32{"CPUUtilization": 100, "NetworkIn": 80} {
		of, err := m.of(t.Context(), e.series(metric, statAverage, 300))
		must(t, err)
		of.through = through
	}
	must(t, m.save(t.Context(), touched, 100))
	if got, err := decodeMarks(h.disk[m.key(e.bucket())]); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(encodeMarks(map[uint64]*mark{1: {head: 5, through: 6}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := decodeMarks(data)
		if err != nil {
			return
		}
		again, err := decodeMarks(encodeMarks(all))
		if err != nil || !maps.EqualFunc(all, again, func(a, b *mark) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("%v, %v", again, err)
		}
	})
}

func TestTheCursorOfASteadySeriesIsShort(t *testing.T) {
	all := make(map[uint64]*mark)
	for i := range uint64(1000) {
		m := &mark{through: 5_600_000}
		for slot := range uint32(memorySlots + 10) {
			m.add(5_600_000 - memorySlots - 10 + slot)
		}
		all[hash(i).spread()] = m
	}
	if got := len(encodeMarks(all)) / len(all); got > 20 {
		t.Errorf("%d bytes each", got)
	}
}
