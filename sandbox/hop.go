package sandbox

import (
	"net/http"
	"strings"
	"time"
)

// Hop names a far side.
type Hop string

// The far sides. Keys has no address of its own: it is the part of Entra that
// answers discovery and JWKS requests, so that a test can break what STS reads
// without breaking what the workload reads.
const (
	Entra Hop = "entra" // the token endpoint
	Keys  Hop = "keys"  // discovery documents and JWKS
	IMDS  Hop = "imds"
	STS   Hop = "sts"
	S3    Hop = "s3"

	Pipelines Hop = "pipelines" // Azure DevOps, at the address of Entra
	EC2       Hop = "ec2"       // the instance metadata service of AWS, at the address of IMDS
	Container Hop = "container" // the credentials endpoint of ECS and EKS, there too

	// AppService is the identity endpoint of App Service, Functions and Container
	// Apps, and by their own paths those of the hosts that resemble them: Azure ML,
	// Cloud Shell and Service Fabric.
	AppService Hop = "appservice"
	Arc        Hop = "arc" // the agent of Azure Arc; see Options.ArcTokenDir

	DCE       Hop = "dce"       // a data collection endpoint of Azure Monitor: logs
	Workspace Hop = "workspace" // the remote write of an Azure Monitor workspace
	AMP       Hop = "amp"       // that of Amazon Managed Service for Prometheus

	IAM   Hop = "iam"   // what is created here is in force in STS
	Graph Hop = "graph" // Microsoft Graph: what is created here is in force in Entra
	ARM   Hop = "arm"   // Azure Resource Manager, likewise

	CloudWatch Hop = "cloudwatch" // metrics of AWS
	EC2API     Hop = "ec2api"     // the service; EC2 is what an instance asks about itself
	Tagging    Hop = "tagging"    // the Resource Groups Tagging API

	Elasticsearch Hop = "elasticsearch"
)

// Hops lists the far sides.
func Hops() []Hop {
	return []Hop{Entra, Keys, IMDS, AppService, Arc, Pipelines, STS, S3, EC2, Container, DCE, Workspace, AMP, IAM, Graph, ARM, CloudWatch, EC2API, Tagging, Elasticsearch}
}

// addressOf is the hop whose address h has.
func addressOf(h Hop) Hop {
	switch h {
	case Keys, Pipelines:
		return Entra
	case EC2, Container:
		return IMDS
	}
	return h
}

// served returns the hops with an address.
func served() [addresses]Hop {
	return [...]Hop{Entra, IMDS, STS, S3, AppService, Arc, DCE, Workspace, AMP, IAM, Graph, ARM, CloudWatch, EC2API, Tagging, Elasticsearch}
}

// addresses is how many hops have one.
const addresses = 16

type hopState struct {
	requests int
	skew     time.Duration
	fault    *Fault
	faultEnd time.Time // where the fault has an end
}

// hop returns the state of h; the caller holds s.mu.
func (s *Sandbox) hop(h Hop) *hopState {
	state := s.hops[h]
	if state == nil {
		state = &hopState{}
		s.hops[h] = state
	}
	return state
}

// Requests returns how many requests a far side has seen, also those that a
// fault answered. Entra and IMDS count token requests only.
func (s *Sandbox) Requests(h Hop) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hop(h).requests
}

// SetSkew sets the clock of one far side off by d. The clock of Entra and IMDS
// is what they write into tokens, that of STS and S3 what they check against.
func (s *Sandbox) SetSkew(h Hop, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hop(h).skew = d
}

// maxRequest is more than any request of these protocols needs.
const maxRequest = 1 << 20

// Handler returns the far side as an http.Handler; those that share an address share it.
func (s *Sandbox) Handler(h Hop) http.Handler {
	h = addressOf(h)
	serve := map[Hop]http.HandlerFunc{
		Entra: s.serveEntra, IMDS: s.serveIMDS, STS: s.serveSTS, S3: s.serveS3,
		AppService: s.serveAppService, Arc: s.serveArc,
		DCE: s.serveDCE, Workspace: s.serveWorkspace, AMP: s.serveAMP,
		IAM: s.serveIAM, Graph: s.serveGraph, ARM: s.serveARM,
		CloudWatch: s.serveCloudWatch, EC2API: s.serveEC2API, Tagging: s.serveTagging,
		Elasticsearch: s.serveElastic,
	}[h]
	if serve == nil {
		return http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		if isLedger(h, r) {
			s.serveLedger(w, r)
			return
		}
		actual := actualHop(h, r)
		w.Header().Set("Date", s.now(actual).UTC().Format(http.TimeFormat)) // clients compare clocks by it
		if fault := s.arrive(actual, r); fault != nil {
			s.play(fault, actual, serve, w, r)
			return
		}
		serve(w, r)
	})
}

// actualHop tells apart what shares an address, by its paths.
func actualHop(h Hop, r *http.Request) Hop {
	switch {
	case h == IMDS && strings.HasPrefix(r.URL.Path, "/latest/"):
		return EC2
	case h == IMDS && isContainer(r.URL.Path):
		return Container
	case h != Entra:
		return h
	case isPipelines(r.URL.Path):
		return Pipelines
	case strings.HasSuffix(r.URL.Path, "/token"):
		return Entra
	}
	return Keys
}

// arrive counts a request and returns the fault that it is to meet, if any.
func (s *Sandbox) arrive(h Hop, r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.hop(h)
	if h != IMDS || strings.Contains(r.URL.Path, "/oauth2/token") {
		state.requests++
	}
	now := s.options.Now()
	if region := requestRegion(h, r); region != "" {
		if fault := s.hop(h.in(region)).takeFault(now); fault != nil {
			return fault
		}
	}
	return state.takeFault(now)
}

// in names what happens to a hop in one region only.
func (h Hop) in(region string) Hop {
	if region == "" {
		return h
	}
	return h + "/" + Hop(region)
}

// requestRegion is the region that a request is signed for, where hops have regions.
func requestRegion(h Hop, r *http.Request) string {
	switch h {
	case CloudWatch, EC2API, Tagging:
		if sig, fault := parseSignature(r); fault == nil {
			return sig.region
		}
	}
	return ""
}
