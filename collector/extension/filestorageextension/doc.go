//go:generate mdatagen metadata.yaml

// Package filestorageextension is contrib's file storage with another recovery. A
// persistent queue that was killed finds, when it starts again, the requests that were on
// their way. The queue of exporterhelper v0.160 deletes them all and then puts them
// back one by one, so a second kill, or a full disk, loses what is between. Here it is told to
// begin reading at the first of them: nothing is moved, none is lost, the order stays.
package filestorageextension
