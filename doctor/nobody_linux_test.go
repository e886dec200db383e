package doctor_test

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// asNobody runs do as a user who may not read everything, as root may: on this thread
// only, and for files only.
func asNobody(do func()) {
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const nobody = 65534
	if _, err := unix.SetfsuidRetUid(nobody); err != nil {
		panic(err)
	}
	defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	do()
}
