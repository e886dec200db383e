// Package isolation runs a program where no name and no address leads out of the
// machine: in a network and a mount namespace of its own, in which the true names and
// addresses of the clouds can be somebody else's (namespaces(7)).
//
// The program that wants it starts itself again by [Command], and the new process
// furnishes the place with a [Room] before it does anything else.
package isolation
