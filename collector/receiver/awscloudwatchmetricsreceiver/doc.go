//go:generate mdatagen metadata.yaml

// Package awscloudwatchmetricsreceiver reads metrics of CloudWatch, each point once, however
// late it comes, and says beforehand what that costs.
//
// CloudWatch bills the metrics that are asked for and not their points. So each poll asks for
// a wide window again, and what is remembered is which points were passed on.
package awscloudwatchmetricsreceiver
