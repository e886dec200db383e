package lumberjackreceiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

var (
	errStopping = errors.New("the receiver stops")
	errGone     = errors.New("the sender is gone")
	errIdle     = errors.New("nothing came for idle_timeout")
	errTLS      = errors.New("no TLS")
	errPipeline = errors.New("the pipeline did not take it")
)

// connection is one sender. It reads a window, passes it on, acknowledges it, and reads the
// next: so much of what a sender has in flight as the pipeline takes.
type connection struct {
	server *server
	peer   net.Conn
	frames *frames
	buffer []byte // of the event that is being read

	batch  batch
	passed uint32 // the sequence number up to which events of the window were passed on

	mu      sync.Mutex
	stopped bool
}

// batch is the part of a window that was read and not passed on yet.
type batch struct {
	logs    plog.Logs
	records plog.LogRecordSlice
	bytes   int64
	held    int64  // of the memory that connections share
	last    uint32 // the sequence number to acknowledge
	odd     int64  // events that are no JSON
}

// serve talks to the sender until one of the two ends it.
func (c *connection) serve(ctx context.Context) {
	ctx = client.NewContext(ctx, client.Info{Addr: c.peer.RemoteAddr()})
	limits := c.server.config
	c.frames = newFrames(c.peer, limits.MaxEventBytes, limits.MaxWindowBytes)
	err := c.handshake(ctx)
	for err == nil {
		err = c.window(ctx)
	}
	c.release()
	c.refuse(ctx, err)
}

func (c *connection) handshake(ctx context.Context) error {
	secure, ok := c.peer.(*tls.Conn)
	if !ok {
		return nil
	}
	if err := c.patience(c.server.config.ReadTimeout); err != nil {
		return err
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", errTLS, err)
	}
	return nil
}

// window reads one and passes it on, in one part or, where it is large, in several.
func (c *connection) window(ctx context.Context) error {
	if err := c.idle(); err != nil {
		return err
	}
	head, err := c.frames.next()
	switch {
	case err != nil:
		return err
	case head.code != codeWindow:
		return fmt.Errorf("%w: an event outside of a window", errProtocol)
	case head.count > c.server.config.MaxWindow:
		return fmt.Errorf("%w: a window of %d events, max_window is %d", errSize, head.count, c.server.config.MaxWindow)
	}
	c.passed = 0
	for range head.count {
		if err := c.event(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(c.flush(ctx), c.conclude()); err != nil {
		return err
	}
	c.server.telemetry.ReceiverLumberjackFrames.Add(ctx, c.frames.taken())
	c.server.telemetry.ReceiverLumberjackWindowsAcknowledged.Add(ctx, 1)
	return nil
}

// idle waits for the next window. Between windows senders come and go as they like.
func (c *connection) idle() error {
	if err := c.patience(c.server.config.IdleTimeout); err != nil {
		return err
	}
	err := c.frames.wait()
	switch {
	case err == nil:
		return c.patience(c.server.config.ReadTimeout)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errIdle
	case errors.Is(err, io.EOF):
		return errGone
	default:
		return err
	}
}

// event reads one into the batch.
func (c *connection) event(ctx context.Context) error {
	if err := c.patience(c.server.config.ReadTimeout); err != nil {
		return err
	}
	head, err := c.frames.next()
	switch {
	case err != nil:
		return noEnd(err)
	case head.code == codeFields:
		return c.fields(ctx, head)
	case head.code != codeEvent:
		return fmt.Errorf("%w: a window within a window", errProtocol)
	}
	if err := c.makeRoom(ctx, int64(head.size)+eventOverhead); err != nil {
		return err
	}
	if err := c.patience(c.server.config.ReadTimeout); err != nil { // making room may have taken long
		return err
	}
	if c.buffer, err = c.frames.payload(c.buffer, head.size); err != nil {
		return err
	}
	c.add(head.seq)
	return nil
}

// fields reads an event of version 1, whose size shows only when it is there.
func (c *connection) fields(ctx context.Context, head frame) (err error) {
	if c.buffer, err = c.frames.fields(c.buffer, head.count); err != nil {
		return err
	}
	if err := c.makeRoom(ctx, int64(len(c.buffer))+eventOverhead); err != nil {
		return err
	}
	c.add(head.seq)
	return nil
}

// add makes a record of the event in the buffer.
func (c *connection) add(seq uint32) {
	if c.batch.last == 0 {
		c.batch.logs = plog.NewLogs()
		c.batch.records = c.open(c.batch.logs)
	}
	if !c.server.config.Body.record(c.batch.records.AppendEmpty(), c.buffer, time.Now()) {
		c.batch.odd++
	}
	c.batch.bytes += int64(len(c.buffer))
	c.batch.last = seq
}

// open begins logs with what is the same for all events of a sender.
func (c *connection) open(logs plog.Logs) plog.LogRecordSlice {
	resource := logs.ResourceLogs().AppendEmpty()
	if host, _, err := net.SplitHostPort(c.peer.RemoteAddr().String()); err == nil {
		resource.Resource().Attributes().PutStr("client.address", host)
	}
	return resource.ScopeLogs().AppendEmpty().LogRecords()
}

// makeRoom takes from the memory that connections share. A connection that finds too little
// passes on what it has, and waits with nothing in its hands: so no two wait for each other.
func (c *connection) makeRoom(ctx context.Context, n int64) error {
	memory := c.server.memory
	if c.batch.held == 0 || c.batch.held+n <= c.server.config.MaxBatchBytes {
		if memory.TryAcquire(n) {
			c.batch.held += n
			return nil
		}
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	if err := memory.Acquire(ctx, n); err != nil {
		return errStopping
	}
	c.batch.held += n
	return nil
}

func (c *connection) release() {
	c.server.memory.Release(c.batch.held)
	c.batch = batch{}
}

// flush passes the batch on and acknowledges its events. When it fails nobody has told the
// sender to forget them.
func (c *connection) flush(ctx context.Context) error {
	if c.batch.last == 0 {
		return nil
	}
	defer c.release()
	switch err := c.deliver(ctx); {
	case err == nil:
	case errors.Is(err, errGone):
		return err
	case consumererror.IsPermanent(err) && c.server.config.OnPermanentError == RefusalDrop:
		c.drop(ctx, err)
	default:
		return c.holdOff(fmt.Errorf("%w: %w", errPipeline, err))
	}
	return c.acknowledge(c.batch.last)
}

// acknowledge says up to where events were passed on. A sender of version 1 takes any reply
// for that of its whole window, so it gets none before.
func (c *connection) acknowledge(seq uint32) error {
	c.passed = seq
	if c.frames.legacy {
		return nil
	}
	return c.write(c.frames.acknowledgement(seq))
}

// conclude acknowledges the window of a sender of version 1.
func (c *connection) conclude() error {
	if !c.frames.legacy || c.passed == 0 {
		return nil
	}
	return c.write(c.frames.acknowledgement(c.passed))
}

// deliver hands the batch to the pipeline, and keeps the sender waiting meanwhile.
func (c *connection) deliver(ctx context.Context) error {
	telemetry, logs, events := c.server.telemetry, c.batch.logs, c.batch.records.Len()
	telemetry.ReceiverLumberjackBytes.Add(ctx, c.batch.bytes)
	telemetry.ReceiverLumberjackMalformed.Add(ctx, c.batch.odd)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		ctx := c.server.report.StartLogsOp(ctx)
		err := c.server.next.ConsumeLogs(ctx, logs)
		c.server.report.EndLogsOp(ctx, "lumberjack", events, err)
		done <- err
	}()
	return c.keepAlive(done, cancel)
}

// keepAlive acknowledges nothing every now and then until there is an answer: to a sender
// that is a sign of life. Who cannot be told is gone, and what it waits for is not needed.
func (c *connection) keepAlive(done <-chan error, cancel func()) error {
	ticker := time.NewTicker(c.server.config.Keepalive)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
			if c.frames.legacy {
				continue
			}
			if err := c.write(c.frames.acknowledgement(0)); err != nil {
				cancel()
				return errors.Join(err, <-done) // not before the pipeline has let go of it
			}
		}
	}
}

// holdOff keeps a sender from sending the same again at once. It returns why.
func (c *connection) holdOff(why error) error {
	over := make(chan error)
	timer := time.AfterFunc(c.server.config.RetryDelay, func() { close(over) })
	_ = c.keepAlive(over, func() {
		if timer.Stop() {
			close(over)
		}
	})
	return why
}

func (c *connection) drop(ctx context.Context, err error) {
	events := c.batch.records.Len()
	c.server.telemetry.ReceiverLumberjackDropped.Add(ctx, int64(events))
	c.server.logger.Error("Lumberjack: the pipeline refuses events for good, and they are lost",
		zap.Stringer("peer", c.peer.RemoteAddr()), zap.Int("events", events), zap.Error(err))
}

func (c *connection) write(reply []byte) error {
	err := c.peer.SetWriteDeadline(time.Now().Add(c.server.config.ReadTimeout))
	if err == nil {
		_, err = c.peer.Write(reply)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// patience says how long what is read next may take. Once the receiver stops there is none.
func (c *connection) patience(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopping
	}
	return c.peer.SetReadDeadline(time.Now().Add(d))
}

// stop ends reading; what the pipeline has is still acknowledged.
func (c *connection) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	_ = c.peer.SetReadDeadline(time.Unix(1, 0))
}

// refuse says once why a connection ends, if that is worth knowing.
func (c *connection) refuse(ctx context.Context, err error) {
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	reason := reasonOf(err)
	if stopped || reason == "" {
		c.server.logger.Debug("Lumberjack: a connection ended", zap.Stringer("peer", c.peer.RemoteAddr()), zap.Error(err))
		return
	}
	c.server.telemetry.ReceiverLumberjackRefused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
	c.server.logger.Warn("Lumberjack: closed a connection; its sender keeps what was not acknowledged",
		zap.Stringer("peer", c.peer.RemoteAddr()), zap.String("reason", reason), zap.Error(err))
}

// reasonOf is empty for what senders and networks do all the time.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, errConnections):
		return "connections"
	case errors.Is(err, errProtocol):
		return "protocol"
	case errors.Is(err, errSize):
		return "size"
	case errors.Is(err, errTLS):
		return "tls"
	case errors.Is(err, errPipeline):
		return "pipeline"
	case errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errGone):
		return "timeout"
	default:
		return ""
	}
}
