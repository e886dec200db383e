// Package transport lets a Go program call clouds with the workload's identity through
// any [net/http.Client]: [Bearer] adds a token to its requests, [SigV4] signs them for AWS.
//
//	client := &http.Client{Transport: &transport.Bearer{
//		Source: keyless.Cached(azhost.ManagedIdentity{Resource: "https://vault.azure.net"}),
//		Hosts:  []string{"*.vault.azure.net"},
//	}}
//
// A token is good in the hands of whoever gets it. So both send it to the hosts on their
// list and to no other, over https, or over plain http to this machine; a redirect that
// leads elsewhere is an error. A refusal that a new token can mend is answered with one new
// token and one more try, if the body can be sent again.
//
// The fields are set before the first request and left alone; a Bearer or SigV4 must not
// be copied. Any number of goroutines may use one.
package transport
