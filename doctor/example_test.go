package doctor_test

import (
	"context"
	"fmt"

	"github.com/keyless-id/keyless/doctor"
)

// Without a profile a doctor says what kind of host this is, and what would do there.
func ExampleDoctor() {
	environment := map[string]string{"MSI_ENDPOINT": "http://localhost:50342/oauth2/token"}
	report := doctor.Doctor{Getenv: func(name string) string { return environment[name] }}.Examine(context.Background())
	for _, f := range report.Findings {
		fmt.Println(f.Verdict, f.Summary)
	}
	// Output:
	// failed there is no configuration file, and no flags
	// ok this is a host with an identity: cloud shell, at http://localhost:50342/oauth2/token
}

func ExampleExplain() {
	e, _ := doctor.Explain("sub-is-client-id")
	fmt.Println(e.Means)
	// Output: the trust policy pins the client id; sub is the object id of the service principal
}
