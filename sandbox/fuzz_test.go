package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

func fuzzSandbox(f *testing.F) *Sandbox {
	f.Helper()
	s, err := New(Demo(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func FuzzSTSForm(f *testing.F) {
	s := fuzzSandbox(f)
	for _, body := range []string{
		"Action=GetCallerIdentity&Version=2011-06-15",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + url.QueryEscape(DemoRoleARN) + "&RoleSessionName=ab&WebIdentityToken=e30.e30.e30&DurationSeconds=900",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + url.QueryEscape(DemoRoleARN) + "&RoleSessionName=ab&WebIdentityToken=eyJhbGciOiJSUzI1NiJ9.e30.AAAA&Policy={}",
	} {
		f.Add(body, "", "")
	}
	f.Add("Action=AssumeRole&Version=2011-06-15", "AWS4-HMAC-SHA256 Credential=a/20260101/r/sts/aws4_request, SignedHeaders=host, Signature=b", "20260101T000000Z")
	f.Fuzz(func(t *testing.T, body, authorization, date string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {authorization}, "X-Amz-Date": {date}}
		w := httptest.NewRecorder()
		s.Handler(STS).ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Fatalf("%q is let in", body)
		}
	})
}

func FuzzSignature(f *testing.F) {
	s := fuzzSandbox(f)
	f.Add("AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=b", "20260101T000000Z", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256")
	f.Add("", "", "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=c")
	f.Fuzz(func(t *testing.T, authorization, date, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: http.MethodGet, URL: u, Host: "s3.amazonaws.com", Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		sig, fault := parseSignature(r)
		if (sig == nil || fault != nil) == (fault == nil) {
			t.Fatal("neither a signature nor a fault")
		}
		if fault == nil {
			_ = canonicalRequest(r, sig, "x")
		}
		if who, fault := s.verifySignature(r, nil, "s3", time.Now()); fault == nil {
			t.Fatalf("let in as %v", who)
		}
	})
}

func FuzzTokenForm(f *testing.F) {
	s := fuzzSandbox(f)
	f.Add("grant_type=client_credentials&client_id=" + DemoAppClientID + "&client_secret=x&scope=api%3A%2F%2Fx%2F.default")
	f.Add("grant_type=client_credentials&client_id=" + DemoAppClientID + "&client_assertion=a.b.c&client_assertion_type=" + url.QueryEscape(assertionType))
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/"+DemoTenantID+"/oauth2/v2.0/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.Handler(Entra).ServeHTTP(w, r)
		if w.Code == http.StatusOK && !strings.Contains(body, url.QueryEscape(DemoAppSecret)) && !strings.Contains(body, DemoAppSecret) {
			t.Fatalf("%q is let in", body)
		}
	})
}

func FuzzLogs(f *testing.F) {
	for _, body := range []string{
		`[{"TimeGenerated":"2026-11-21T12:00:00.5Z","Message":"a","Count":1,"Seconds":1.5,"Ok":true,"Details":{"a":[1]}}]`,
		`[{"Message":{}},{"Details":"ä"}]`, `[]`, `[1]`, `{}`, "[{\"Message\":\"\xff\"}]",
	} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte, auxiliary bool) {
		stream := LogStream{Columns: demoRules()[0].Streams[DemoStream].Columns, Auxiliary: auxiliary}
		b, refusal := stream.read(body, now)
		var want []json.RawMessage
		isArray := json.Unmarshal(body, &want) == nil && want != nil
		switch {
		case refusal != nil:
			return
		case !isArray || b.count != len(want) || len(b.rows) > b.count:
			t.Fatalf("%d rows, %d kept, of %q", b.count, len(b.rows), body)
		}
		for _, row := range b.rows {
			at, err := time.Parse(time.RFC3339Nano, row.values["TimeGenerated"].(string))
			if err != nil || at.Before(now.Add(-oldestRow)) || at.After(now.Add(newestRow)) {
				t.Fatalf("%v of %q", row.values, body)
			}
			if text, _ := row.values["Message"].(string); len(text) > maxField {
				t.Fatalf("%d bytes", len(text))
			}
			if _, err := json.Marshal(row.values); err != nil { // the ledger shows it
				t.Fatal(err)
			}
		}
	})
}

func FuzzUnzip(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x8b\x8e\x05\x00\x29\xbb\x4c\x0d\x02\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		if body, refusal := unzip(packed); refusal == nil && len(body) > maxLogs {
			t.Fatalf("%d bytes", len(body))
		}
	})
}

func FuzzRemoteWrite(f *testing.F) {
	const v1 = "\x0a\x1d\x0a\x0e\x0a\x08__name__\x12\x02up\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01"
	const v2 = "\x22\x00\x22\x08__name__\x22\x02up\x2a\x11\x0a\x02\x01\x02\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01"
	f.Add([]byte(v1), false)
	f.Add([]byte(v2), true)
	f.Fuzz(func(t *testing.T, message []byte, v2 bool) {
		d, err := readWrite(message, v2)
		if err != nil {
			return
		}
		var ledger sampleLedger
		if !ledger.room(d) {
			t.Skip("too much")
		}
		ledger.add(d)
		taken := 0
		for key, kept := range ledger.series {
			if kept.Labels[metricName] == "" || kept.Count != len(kept.Points) {
				t.Fatalf("%q: %+v", key, kept.Series)
			}
			taken += kept.Count + kept.Duplicates
			if _, err := json.Marshal(kept.Series); err != nil { // the ledger shows it
				t.Fatal(err)
			}
		}
		if taken != d.samples {
			t.Fatalf("%d samples of %d", taken, d.samples)
		}
	})
}

// The library that Prometheus uses is the judge.
func FuzzSnappy(f *testing.F) {
	f.Add(snappy.Encode(nil, []byte(strings.Repeat("abcdefgh", 50)+"xyz"+strings.Repeat("a", 300))))
	f.Add(snappy.Encode(nil, []byte(strings.Repeat("0123456789", 10000))))
	f.Add([]byte("\x05\xf0\x04hello"))
	f.Add([]byte("\x08\x00x\x0f\x01\x00\x00\x00\x0b\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, block []byte) {
		const limit = 1 << 20
		got, err := unsnappy(block, limit)
		if size, err := snappy.DecodedLen(block); err == nil && size > limit {
			if got != nil {
				t.Fatalf("%d bytes", len(got))
			}
			return
		}
		want, wantErr := snappy.Decode(nil, block)
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, %v, want %q, %v", block, got, err, want, wantErr)
		}
	})
}

// Google's own library is the judge, but for groups and for numbers of fields that the
// documentation does not allow.
func FuzzProtobuf(f *testing.F) {
	f.Add([]byte("\x08\x96\x01\x12\x02up\x19\x00\x00\x00\x00\x00\x00\xf0\x3f\x25\x00\x00\x00\x00"))
	f.Add([]byte("\xf8\xff\xff\xff\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\xf8\xe8\xff\xff00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		rest := message
		err := eachField(message, func(f field) error {
			number, kind, n := protowire.ConsumeTag(rest)
			value := rest[n:]
			size := protowire.ConsumeFieldValue(number, kind, value)
			if uint64(number) != f.number || uint64(kind) != f.kind || size < 0 {
				t.Fatalf("%+v, want number %d, type %d, %d bytes", f, number, kind, size)
			}
			data, _ := protowire.ConsumeBytes(value)
			varint, _ := protowire.ConsumeVarint(value)
			fixed, _ := protowire.ConsumeFixed64(value)
			if f.kind == wireBytes && !bytes.Equal(f.data, data) || f.kind == wireVarint && f.value != varint || f.kind == wireFixed64 && f.value != fixed {
				t.Fatalf("%+v of %q", f, value)
			}
			rest = value[size:]
			return nil
		})
		if err == nil {
			return
		}
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 || number > protowire.MaxValidNumber || kind == protowire.StartGroupType || kind == protowire.EndGroupType {
			return
		}
		if size := protowire.ConsumeFieldValue(number, kind, rest[n:]); size >= 0 {
			t.Fatalf("%q is refused", rest)
		}
	})
}

func FuzzGraphFilter(f *testing.F) {
	for _, text := range []string{
		"", "displayName eq 'a'", "identifierUris/any(x:x eq 'api://a') and appId eq 'b'", "startswith(displayName,'Bob''s')",
		"appRoleAssignmentRequired eq true", "a eq '", "a eq 'b' and ", "a/any(x:y eq 'b')", "startswith(a,b)",
	} {
		f.Add(text)
	}
	entity := object{"displayName": "Bob's", "identifierUris": []string{"api://a"}, "appRoleAssignmentRequired": true, "api": object{}}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := parseFilter(text)
		if err != nil {
			return
		}
		if strings.TrimSpace(text) != "" && len(filter) == 0 {
			t.Fatalf("%q lets everything through", text)
		}
		for _, clause := range filter {
			if !isProperty(clause.property) {
				t.Fatalf("%q: property %q", text, clause.property)
			}
		}
		_, _ = filter.matches(entity)
	})
}

func FuzzGraphPath(f *testing.F) {
	for _, path := range []string{
		"/v1.0/applications", "/v1.0/applications/a/federatedIdentityCredentials/b", "/beta/servicePrincipals(appId='a')/appRoleAssignedTo",
		"/v1.0/", "/v1.0/applications(appId='", "/v1.0/applications()", "/v1.0//a", "/v2.0/applications",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, ok := parseGraphPath(path)
		if ok == (len(segments) == 0) {
			t.Fatalf("%q: %v, %v", path, segments, ok)
		}
		for _, s := range segments {
			if s.name == "" || s.keyed != (s.key != "") {
				t.Fatalf("%q: %+v", path, s)
			}
		}
	})
}

func FuzzARMPath(f *testing.F) {
	for _, path := range []string{
		DemoVMResourceID, DemoAssignedResourceID + "/federatedIdentityCredentials", "/subscriptions/a/providers/b/c", "/subscriptions/a/resourceGroups/b", "//", "/subscriptions/a/resourceGroups/b/providers/c",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, ok := parseARMPath(path)
		if !ok {
			return
		}
		if difference := len(p.types) - len(p.names); len(p.types) == 0 || difference != 0 && difference != 1 || p.subscription == "" || p.provider == "" {
			t.Fatalf("%q: %+v", path, p)
		}
		if len(p.names) > 0 {
			_ = p.parent()
		}
	})
}

// FuzzIAMForm sends unsigned requests: none may be let in.
func FuzzIAMForm(f *testing.F) {
	s := fuzzSandbox(f)
	f.Add("Action=ListRoles&Version=2010-05-08&MaxItems=1&Marker=a", "")
	f.Add("Action=CreateRole&Version=2010-05-08&RoleName=a&AssumeRolePolicyDocument={}", "AWS4-HMAC-SHA256 Credential="+DemoAdminKeyID+"/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=b")
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {authorization}, "X-Amz-Date": {"20260101T000000Z"}}
		w := httptest.NewRecorder()
		s.Handler(IAM).ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Fatalf("%q is let in", body)
		}
	})
}

// FuzzCBOR: a body is refused, or a structure that can be looked at in every way, with the
// strings that the codec of AWS's SDK finds.
func FuzzCBOR(f *testing.F) {
	for _, value := range []cbor.Value{
		cbor.Map{"StartTime": &cbor.Tag{ID: 1, Value: cbor.Float64(1.5)}, "Period": cbor.Uint(300), "Values": cbor.List{cbor.Float32(1), cbor.NegInt(4)}},
		cbor.Map{"ReturnData": cbor.Bool(true), "Unit": &cbor.Nil{}, "a": cbor.Slice("b")},
		cbor.List{},
		cbor.Uint(1 << 63),
	} {
		f.Add(cbor.Encode(value))
	}
	f.Add([]byte("\xbf\x61a\x9f\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := cborParams(body)
		if err != nil || len(in) == 0 {
			return
		}
		decoded, _ := cbor.Decode(body)
		for name := range in {
			if want, is := decoded.(cbor.Map)[name].(cbor.String); is && in.text(name) != string(want) {
				t.Fatalf("%q: got %q, want %q", name, in.text(name), want)
			}
			_, _ = in.integer(name)
			_, _ = in.time(name)
			_ = in.structures(name)
			_ = in.texts(name)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, form := range []string{
		"Filter.1.Name=tag:a&Filter.1.Value.1=b&Filter.1.Value.2=c", "MetricData.member.1.Values.member.2=1&MetricData.member.1.Values.member.1=2",
		"a=1&a.b=2&a.1=3", "member.member=1", ".=1&..=2", strings.Repeat("a.", 30) + "=1",
	} {
		f.Add(form)
	}
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		in := queryParams(form)
		for name := range form {
			if strings.Contains(name, ".") {
				continue
			}
			if !in.has(name) {
				t.Fatalf("%q: %q is lost", text, name)
			}
			_, _ = in.number(name)
			_ = in.structures(name)
		}
	})
}

// FuzzIsLike has regular expressions for a judge.
func FuzzIsLike(f *testing.F) {
	for _, pattern := range []string{"*", "?", "a*b*c", `a\*b`, `\\`, `\`, "**", ""} {
		f.Add("aabbcc", pattern)
		f.Add(`a*b\`, pattern)
	}
	f.Fuzz(func(t *testing.T, text, pattern string) {
		for _, c := range text + pattern {
			if c < ' ' || c > '~' {
				return // a regular expression sees runes, a filter bytes
			}
		}
		var expression strings.Builder
		for i := 0; i < len(pattern); i++ {
			switch c := pattern[i]; {
			case c == '*':
				expression.WriteString(".*")
			case c == '?':
				expression.WriteString(".")
			case c == '\\' && i == len(pattern)-1:
				return // it takes away the meaning of nothing
			case c == '\\':
				i++
				fallthrough
			default:
				expression.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		}
		want := regexp.MustCompile("^(?:" + expression.String() + ")$").MatchString(text)
		if got := isLike(text, pattern); got != want {
			t.Fatalf("%q like %q: got %v, want %v", text, pattern, got, want)
		}
	})
}

// FuzzMetrics sends requests in all wire forms that nobody has signed: none may be let in.
func FuzzMetrics(f *testing.F) {
	s := fuzzSandbox(f)
	f.Add("Action=ListMetrics&Version=2010-08-01", "/", "", "")
	f.Add("{}", "/", "GraniteServiceVersion20100801.ListMetrics", "application/x-amz-json-1.0")
	f.Add("\xa0", "/service/GraniteServiceVersion20100801/operation/ListMetrics", "rpc-v2-cbor", "application/cbor")
	f.Fuzz(func(t *testing.T, body, path, header, kind string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		for _, h := range []Hop{CloudWatch, EC2API, Tagging} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.URL, r.Header = u, http.Header{"X-Amz-Target": {header}, "Smithy-Protocol": {header}, "Content-Type": {kind}, "Content-Encoding": {kind}}
			w := httptest.NewRecorder()
			s.Handler(h).ServeHTTP(w, r)
			if w.Code == http.StatusOK {
				t.Fatalf("%s: %q is let in", h, body)
			}
		}
	})
}
