// Package e2e holds the distribution, as it is shipped, to what its guides promise: with other
// people's programs around it, and with all of them killed now and then.
package e2e
