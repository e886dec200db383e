// Package endpoint hands credentials to the AWS SDKs of programs on the same machine, as
// Amazon ECS and EKS do ("Container credential provider", AWS SDKs and Tools Reference
// Guide).
//
// Whoever can ask gets credentials, so a server is as closed as the protocol allows: it
// listens on loopback, knows the hosts it may be called, refuses whatever a browser or a
// proxy sends, asks for a token, and looks whose socket is at the other end. A request
// never waits for the network: what is handed out has been fetched ahead.
package endpoint
