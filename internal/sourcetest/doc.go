// Package sourcetest is the contract that every source of tokens keeps, as tests.
//
//	func TestContract(t *testing.T) {
//		sourcetest.Run(t, sourcetest.Contract{
//			New: func(far sourcetest.Far) keyless.TokenSource {
//				return entra.ClientSecret{…, Authority: far.Address, Client: far.Client}
//			},
//			Secrets: []string{"hunter2"},
//		})
//	}
//
// The far side is played in the process and the clock is testing/synctest's, so
// that a contract about minutes takes milliseconds.
package sourcetest
