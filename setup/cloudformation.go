package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// object is a JSON object whose members are written in the order of their names.
type object = map[string]any

func (t target) cloudFormation() ([]File, error) {
	template := object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              "keyless setup " + t.Name + ": a role that trusts a workload in Azure",
		"Parameters":               t.cfnParameters(),
	}
	if t.Kind == FromAWS {
		return nil, errors.New("cloudformation: it cannot switch outbound federation on; use terraform or commands")
	}
	resources, conditions := object{"Role": t.cfnRole()}, object{}
	for _, l := range t.links() {
		conditions["Create"+l.sid+"Provider"] = object{"Fn::Equals": []any{object{"Ref": "Create" + l.sid + "Provider"}, "true"}}
		resources[l.sid+"Provider"] = t.cfnProvider(l)
	}
	template["Resources"], template["Conditions"] = resources, conditions
	template["Outputs"] = object{"RoleArn": object{"Value": object{"Fn::GetAtt": []string{"Role", "Arn"}}}}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(template); err != nil {
		return nil, err
	}
	return []File{{Name: "template.json", Data: text.Bytes(), Mode: 0o644}}, nil
}

func (t target) cfnParameters() object {
	all := object{}
	for _, l := range t.links() {
		all["Create"+l.sid+"Provider"] = object{
			"Type": "String", "AllowedValues": []string{"true", "false"}, "Default": "true",
			"Description": "false if the account has a provider for " + l.issuer + " already: add the client id to it",
		}
	}
	if !t.throughEntra() {
		return all
	}
	const form = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
	parameter := func(description, value string) object {
		p := object{"Type": "String", "AllowedPattern": form, "Description": description}
		if guids().MatchString(value) {
			p["Default"] = value
		}
		return p
	}
	subject, client := "", ""
	if t.Kind == ManagedIdentity {
		subject = t.Identity
	} else {
		client = t.Identity
	}
	all["Subject"] = parameter("Object id of the workload's identity: the subject of its tokens", subject)
	if t.version() == 2 {
		all["WorkloadClientId"] = parameter("Client id of the workload's identity", client)
	}
	if t.version() == 2 || strings.Contains(t.audience(), markApp) {
		all["AppId"] = parameter("Client id of the application that stands for AWS", t.AppID)
	}
	return all
}

// cfn is a text, or what makes one of references and texts.
func cfn(text string) any {
	switch text {
	case markApp:
		return object{"Ref": "AppId"}
	case markSubject:
		return object{"Ref": "Subject"}
	case markClient:
		return object{"Ref": "WorkloadClientId"}
	}
	if !strings.Contains(text, "\x01") {
		return text
	}
	return object{"Fn::Sub": filled(text, map[string]string{markApp: "${AppId}", markSubject: "${Subject}", markClient: "${WorkloadClientId}"})}
}

func cfnAll(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = cfn(text)
	}
	return all
}

func (t target) cfnTags() []object { return []object{{"Key": TagKey, "Value": t.Name}} }

func (t target) cfnProvider(l link) object {
	properties := object{"Url": l.issuer, "ClientIdList": cfnAll(l.clientIDs), "Tags": t.cfnTags()}
	if len(t.Thumbprints) > 0 {
		properties["ThumbprintList"] = t.Thumbprints
	}
	return object{"Type": "AWS::IAM::OIDCProvider", "Condition": "Create" + l.sid + "Provider", "Properties": properties}
}

// cfnARN is the provider that the stack makes, and so has to be there first, or the one
// that is there.
func cfnARN(l link) object {
	there := object{"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/" + trust.ProviderKey(l.issuer)}
	return object{"Fn::If": []any{"Create" + l.sid + "Provider", object{"Ref": l.sid + "Provider"}, there}}
}

func (t target) cfnRole() object {
	var statements []object
	for _, l := range t.links() {
		equals := object{}
		for _, c := range t.conditions(l) {
			equals[c[0]] = cfn(c[1])
		}
		statements = append(statements, object{
			"Sid": l.sid, "Effect": "Allow", "Action": trust.AssumeRoleWithWebIdentity,
			"Principal": object{"Federated": cfnARN(l)},
			"Condition": object{"StringEquals": equals},
		})
	}
	properties := object{
		"RoleName": t.roleName(), "Path": t.rolePath(), "Tags": t.cfnTags(),
		"AssumeRolePolicyDocument": object{"Version": trust.Version2012, "Statement": statements},
	}
	if t.MaxSession != 0 {
		properties["MaxSessionDuration"] = int(t.MaxSession.Seconds())
	}
	if t.PermissionsBoundary != "" {
		properties["PermissionsBoundary"] = t.PermissionsBoundary
	}
	if len(t.Policies) > 0 {
		properties["ManagedPolicyArns"] = t.Policies
	}
	return object{"Type": "AWS::IAM::Role", "Properties": properties}
}
