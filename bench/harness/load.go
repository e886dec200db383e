package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is clients who ask the same again and again over connections that they keep.
type load struct {
	address string
	request []byte
	clients int
}

// loadRun is what a run of load measured.
type loadRun struct {
	answers   int
	latencies []time.Duration // sorted; nil if nobody wants them
}

func (s loadRun) percentile(p float64) time.Duration {
	return s.latencies[int(float64(len(s.latencies)-1)*p)]
}

// run asks until the time is over, or as many times as there are to be.
func (l load) run(span time.Duration, atMost int) (loadRun, error) {
	var total loadRun
	var first error
	var mu sync.Mutex
	var done sync.WaitGroup
	end := time.Now().Add(span)
	for range l.clients {
		done.Go(func() {
			latencies, err := l.client(end, atMost/l.clients)
			mu.Lock()
			defer mu.Unlock()
			total.answers += len(latencies)
			total.latencies = append(total.latencies, latencies...)
			if first == nil {
				first = err
			}
		})
	}
	done.Wait()
	slices.Sort(total.latencies)
	if first == nil && total.answers == 0 {
		first = errors.New("no answer")
	}
	return total, first
}

func (l load) client(end time.Time, atMost int) ([]time.Duration, error) {
	connection, err := net.Dial("tcp", l.address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	reader := bufio.NewReader(connection)
	var latencies []time.Duration
	for began := time.Now(); began.Before(end) && (atMost == 0 || len(latencies) < atMost); began = time.Now() {
		if _, err := connection.Write(l.request); err != nil {
			return latencies, err
		}
		if err := readAnswer(reader); err != nil {
			return latencies, err
		}
		latencies = append(latencies, time.Since(began))
	}
	return latencies, nil
}

var contentLength = []byte("content-length:")

// readAnswer reads a good answer and forgets it.
func readAnswer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 20")) {
		return fmt.Errorf("%q", status)
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case len(line) <= 2:
			_, err := io.CopyN(io.Discard, r, int64(length))
			return err
		case len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return err
			}
		}
	}
}
