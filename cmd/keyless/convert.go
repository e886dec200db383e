package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/convert"
	"github.com/keyless-id/keyless/profile"
)

// What other tools' configurations become.
const (
	toProxy     = "proxy"
	toCollector = "collector"
)

// maxConverted is how much of stdin is read at most; convert takes less, and says so.
const maxConverted = 4 << 20

func newConvert(p *program) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "Turn another tool's configuration into keyless's",
		Long: "Write keyless.yaml for what another tool sends to a cloud with a credential of its own:\n" +
			"the remote_write of Prometheus with azuread or sigv4, or the outputs to Microsoft Sentinel\n" +
			"of a Logstash pipeline. Which it is shows in the file; - is stdin. The tool sends to keyless\n" +
			"from then on, and keyless adds the credential.\n\n" +
			"With --to collector it is the configuration of keyless-collector: for logs to Azure Monitor\n" +
			"of Logstash, Fluent Bit, Vector or rsyslog, which the Collector keeps on disk until Azure has\n" +
			"taken them; for metrics of CloudWatch of Metricbeat's module aws, in whose place it reads them.\n\n" +
			"The configuration goes to stdout. What to write into the other tool's file instead goes to\n" +
			"stderr, with everything that cannot be carried over. Secrets are not copied: a note\n" +
			"says where to put them.",
		Example: "  keyless convert /etc/prometheus/prometheus.yml --to proxy > keyless.yaml\n" +
			"  keyless convert /etc/logstash/conf.d/sentinel.conf --to collector > collector.yaml",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.convert(args[0], to) },
	}
	cmd.Flags().StringVar(&to, "to", toProxy, "`what` it becomes: proxy, for routes of keyless serve, or collector")
	return cmd
}

func (p *program) convert(name, to string) error {
	turn := convert.File
	switch to {
	case toProxy:
	case toCollector:
		turn = convert.Collector
	default:
		return usageError{fmt.Errorf("--to %s: want %s or %s", to, toProxy, toCollector)}
	}
	file, err := p.readConverted(name)
	if err != nil {
		return err
	}
	result, err := turn(file)
	if err != nil {
		return inFile(name, err)
	}
	if _, err := p.stdout.Write(result.Config); err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "keyless: in %s, instead of what sends to the cloud:\n\n%s\n", name, result.Client)
	for _, note := range result.Notes {
		where := name + ": "
		if note.Line > 0 {
			where = name + ":"
		}
		fmt.Fprintln(p.stderr, "keyless: note: "+where+oneLine(note.String()))
	}
	return nil
}

// readConverted reads a file, or stdin for "-".
func (p *program) readConverted(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(p.stdin, maxConverted))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxConverted))
	if err != nil {
		return nil, unreadable(name, err)
	}
	return data, nil
}

func unreadable(name string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &profile.Error{File: name, Message: err.Error()}
}

// inFile names the file in an error that is about its content.
func inFile(name string, err error) error {
	var wrong *profile.Error
	if errors.As(err, &wrong) {
		wrong.File = name
	}
	return err
}
