package filecache

import "github.com/keyless-id/keyless/internal/atomicfile"

const notPrivate = "not a private regular file of this user; ignored"

// writeFile replaces path whole or not at all. The caller holds a lock under which
// nobody else writes tmp.
func writeFile(path, tmp string, data []byte) error {
	return atomicfile.Replacement{Path: path, Temporary: tmp, Data: data}.Write()
}

// writeHint is writeFile for what may be lost with the power: what a torn one would
// say is not believed.
func writeHint(path, tmp string, data []byte) error {
	return atomicfile.Replacement{Path: path, Temporary: tmp, Data: data, Torn: true}.Write()
}
