// Package authproxy passes requests of agents that know nothing of Entra or AWS on to a
// cloud, with a token or a signature that they do not have: Prometheus writes to
// localhost, and [Proxy] to Azure Monitor or Amazon.
//
// A request goes to the upstream of one [Route] and to no other address: method and path
// decide, redirects are handed back, and what the client sends as credentials stays here.
// Bodies are streamed. Answers come back as they are, but for those on which an agent
// would throw data away that can be taken a little later: these become a 503 with
// Retry-After. Answers of the package's own have the header Keyless-Error.
package authproxy
