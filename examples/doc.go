// Package examples holds a program for each way to put keyless into a Go program that
// exists already. The lines about keyless stand between two marks; the tests build the
// programs and run them against the sandbox.
package examples
