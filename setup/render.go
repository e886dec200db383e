package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
)

// Format is a form in which a plan is written for another tool.
type Format string

// The formats.
const (
	Terraform      Format = "terraform"
	CloudFormation Format = "cloudformation" // the side of AWS only
	Commands       Format = "commands"       // a script of az and aws
)

// File is a file of a rendered plan.
type File struct {
	Name string // with slashes, below the folder that it is written to
	Data []byte
	Mode fs.FileMode
}

// What only the other tool will know stands in the texts as one of these, and each format
// puts a reference of its own in its place. No text of a [Spec] has such characters.
const (
	markApp     = "\x01app\x01"     // client id of the application
	markSubject = "\x01subject\x01" // object id of the workload
	markClient  = "\x01client\x01"  // client id of the workload
	markIssuer  = "\x01issuer\x01"  // of the account
	markRole    = "\x01role\x01"    // ARN of the role, of the way back
)

// Render writes what a plan would make for another tool. Nobody is asked, so that the
// tenant must be named.
func Render(spec Spec, format Format) ([]File, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if spec.TenantID == "" && (spec.Kind != Pipelines || spec.has(IssuerEntra)) {
		return nil, errors.New("tenant: render asks nobody, so it must be named")
	}
	t := rendered(spec)
	switch format {
	case Terraform:
		return t.terraform()
	case CloudFormation:
		return t.cloudFormation()
	case Commands:
		return t.commands()
	}
	return nil, fmt.Errorf("format %q: want terraform, cloudformation or commands", format)
}

// rendered is the target with marks for what is not known.
func rendered(spec Spec) target {
	t := target{spec, State{TenantID: spec.TenantID, Principal: Principal{ObjectID: markSubject, ClientID: markClient}, Outbound: markIssuer}}
	t.App = &graph.Application{AppID: markApp}
	if graph.IsUserAssigned(spec.Identity) {
		t.Principal.ResourceID = spec.Identity
	}
	if spec.Kind == FromAWS {
		t.State.Role = &iam.Role{ARN: markRole}
	}
	return t
}

// needsID is the error of a format that cannot look a resource up.
func (t target) needsID(format Format) error {
	if isResource := graph.CheckResourceID(t.Identity) == nil; !isResource {
		return nil
	}
	return fmt.Errorf("%s: name the object id instead of a resource id, or use the format %s", format, Commands)
}

// filled puts references in the place of marks.
func filled(text string, references map[string]string) string {
	for mark, reference := range references {
		text = strings.ReplaceAll(text, mark, reference)
	}
	return text
}
