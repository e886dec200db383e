// Package interop holds the tests that run keyless with programs that were not
// written here; see README.md for the parts and what each proves.
package interop
