//go:build !linux

package doctor_test

// asNobody runs do as whoever runs the tests.
func asNobody(do func()) { do() }
