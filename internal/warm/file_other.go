//go:build !unix

package warm

import "os"

func fileID(os.FileInfo) string { return "" }
