// Command remote-write sends a sample to an Azure Monitor workspace by Prometheus remote
// write, with whatever identity the host has.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"time"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
)

// audience is Azure Monitor's; the slash at its end is part of it.
const audience = "https://monitor.azure.com/"

func main() {
	if err := run(context.Background(), os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "remote-write:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string) error {
	// keyless, from here:
	host, err := azhost.Detect(ctx, getenv)
	if err != nil {
		return err
	}
	source, err := host.Source(audience, azhost.Identity{})
	if err != nil {
		return err
	}
	tokens := keyless.Cached(source) // for as long as the agent runs
	// to here, and in write.

	return write(ctx, tokens, getenv("REMOTE_WRITE_URL"), request("up", "job", "example", 1, time.Now()))
}

// write asks for another token once, should the far side refuse the one it got.
func write(ctx context.Context, tokens *keyless.CachedSource, address string, body []byte) error {
	token, err := tokens.Token(ctx)
	if err != nil {
		return err
	}
	status, err := post(ctx, address, token, body)
	if err == nil && status == http.StatusUnauthorized {
		if token, err = tokens.Refresh(ctx, token, ""); err != nil {
			return err
		}
		status, err = post(ctx, address, token, body)
	}
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return fmt.Errorf("the far side answers %d %s", status, http.StatusText(status))
	}
	return nil
}

func post(ctx context.Context, address string, token keyless.Token, body []byte) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token.Value.Reveal())
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// request is a WriteRequest with one sample ("Prometheus Remote-Write 1.0
// specification").
func request(metric, label, value string, sample float64, at time.Time) []byte {
	series := message(nil, 1, pair("__name__", metric))
	series = message(series, 1, pair(label, value))
	point := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(sample))
	point = protowire.AppendVarint(protowire.AppendTag(point, 2, protowire.VarintType), uint64(at.UnixMilli()))
	return snappy.Encode(nil, message(nil, 1, message(series, 2, point)))
}

func pair(name, value string) []byte {
	return message(message(nil, 1, []byte(name)), 2, []byte(value))
}

func message(into []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(into, field, protowire.BytesType), content)
}
