package azurelogsingestionexporter

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
)

// The parts of a gzip file (RFC 1952) around its deflate stream (RFC 1951).
const (
	gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

	// reserve is for what closes a body: the bracket, the last block, checksum and length.
	reserve = 64
)

// bound is the most that n bytes become in deflate, a flush included: blocks that do not
// compress are stored, with five bytes for each 64 KiB.
func bound(n int) int { return n + n>>9 + 32 }

// wire collects what a compressor writes.
type wire []byte

// Write is part of io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// packer is a body that grows: a JSON array in gzip, never longer than its limit.
//
// How long a row becomes is known only after a flush, and a flush costs some bytes. So
// rows are written as long as they would fit uncompressed behind what is already out;
// then there is a flush, which makes most of that room free again; and so on, until
// little is left.
type packer struct {
	limit, rawLimit int

	out     wire
	deflate *flate.Writer
	alone   *flate.Writer // for rows that are tried out; made when there is one
	level   int
	tried   wire
	staged  []byte // rows that the compressor does not have yet
	crc     uint32
	raw     int
	pending int // bytes since the last flush
	at      []int64
}

// packers are packers for one level that wait for work: a compressor is large.
type packers struct {
	level int
	pool  sync.Pool
	rows  sync.Pool
}

// emptyRows returns rows whose memory was in use before, if there are some.
func (p *packers) emptyRows() rows {
	if used, _ := p.rows.Get().(*rows); used != nil {
		return *used
	}
	return rows{}
}

// recycle takes the memory of rows that are packed.
func (p *packers) recycle(used *rows) {
	if cap(used.data) > 0 && !used.borrowed {
		p.rows.Put(&rows{data: used.data[:0], ends: used.ends[:0], at: used.at[:0]})
	}
	*used = rows{}
}

func (p *packers) get(limit, rawLimit int) *packer {
	made, _ := p.pool.Get().(*packer)
	if made == nil {
		made = &packer{deflate: compressor(p.level), level: p.level}
	}
	made.begin(limit, rawLimit)
	return made
}

// compressor panics for no level that the configuration lets through.
func compressor(level int) *flate.Writer {
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		panic(err)
	}
	return w
}

// seal makes a body of a packer, and takes the packer back.
func (p *packers) seal(made *packer, reason reason) *body {
	b := made.close(reason)
	p.pool.Put(made)
	return b
}

func (p *packer) begin(limit, rawLimit int) {
	p.limit, p.rawLimit = limit, rawLimit
	p.out, p.at = append(p.out[:0], gzipHeader...), nil
	p.crc, p.raw, p.pending, p.staged = 0, 0, 0, p.staged[:0]
	p.deflate.Reset(&p.out)
}

// room is what is left for rows.
func (p *packer) room() int { return p.limit - len(p.out) - reserve }

// size is what the body would have on the wire, or a little less.
func (p *packer) size() int { return len(p.out) }

// separator comes before a row. No row has a line break, so a body can be taken apart.
func (p *packer) separator() string {
	if len(p.at) == 0 {
		return "["
	}
	return ",\n"
}

// add reports whether the row fits; the body has it then. A row begins with a prefix that
// is not part of it, or with none.
func (p *packer) add(prefix string, row []byte, at int64) bool {
	size := len(p.separator()) + len(prefix) + len(row)
	if p.raw+size+1 > p.rawLimit {
		return false
	}
	if bound(p.pending+size) > p.room() && p.pending > 0 {
		p.flush()
	}
	switch {
	case bound(p.pending+size) <= p.room():
		p.write(prefix, row)
		p.pending += size
	case len(p.at) > 0 && p.room() < p.limit/64 || !p.addAlone(prefix, row):
		return false
	}
	p.at = append(p.at, at)
	p.raw += size
	return true
}

// write keeps rows until there are enough to be worth a call of the compressor.
func (p *packer) write(prefix string, row []byte) {
	p.staged = append(append(append(p.staged, p.separator()...), prefix...), row...)
	if len(p.staged) >= 16<<10 {
		p.drain(p.deflate)
	}
}

func (p *packer) drain(to *flate.Writer) {
	_, _ = to.Write(p.staged) // a wire takes everything
	p.crc = crc32.Update(p.crc, crc32.IEEETable, p.staged)
	p.staged = p.staged[:0]
}

func (p *packer) flush() {
	p.drain(p.deflate)
	_ = p.deflate.Flush()
	p.pending = 0
}

// addAlone compresses a long row by itself, to see whether it fits. Its blocks can be
// put behind those of the flushed body, after which the compressor may no longer refer to
// what was before.
func (p *packer) addAlone(prefix string, row []byte) bool {
	if p.alone == nil {
		p.alone = compressor(p.level)
	}
	p.tried = p.tried[:0]
	p.alone.Reset(&p.tried)
	crc := p.crc
	p.staged = append(append(append(p.staged[:0], p.separator()...), prefix...), row...)
	p.drain(p.alone)
	_ = p.alone.Flush()
	if len(p.tried) > p.room() {
		p.crc = crc
		return false
	}
	p.out = append(p.out, p.tried...)
	p.deflate.Reset(&p.out)
	return true
}

func (p *packer) close(why reason) *body {
	p.staged = append(p.staged, ']')
	p.drain(p.deflate)
	_ = p.deflate.Close()
	p.out = binary.LittleEndian.AppendUint32(p.out, p.crc)
	p.out = binary.LittleEndian.AppendUint32(p.out, uint32(p.raw+1)) //nolint:gosec // modulo 2^32 is what the format wants
	return &body{wire: bytes.Clone(p.out), raw: p.raw + 1, at: p.at, reason: why}
}
