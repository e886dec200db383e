package azuremonitorprometheusexporter

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/prompb"

	"github.com/keyless-id/keyless/collector/internal/deadletter"
)

// deadLetters is a file of JSON lines with what was dropped; without a path there is none.
type deadLetters struct{ file deadletter.File }

// open finds out at the start what would otherwise be noticed when samples are lost.
func (d *deadLetters) open() error {
	if d.file.Config.Path == "" {
		return nil
	}
	return d.file.Open()
}

// letter is a line of the file: samples are pairs of a time in milliseconds since 1970 and a
// value, which is a string because JSON has no NaN.
type letter struct {
	Time       time.Time         `json:"time"`
	Reason     string            `json:"reason"`
	Message    string            `json:"message,omitempty"`
	Series     map[string]string `json:"series"`
	Samples    [][2]any          `json:"samples,omitempty"`
	Histograms int               `json:"histograms,omitempty"`
}

// write appends what was dropped, all of it at once.
func (d *deadLetters) write(reason, message string, dropped []prompb.TimeSeries) error {
	if d.file.Config.Path == "" || len(dropped) == 0 {
		return nil
	}
	var lines []byte
	for i := range dropped {
		line, err := json.Marshal(letterOf(reason, message, &dropped[i]))
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	return d.file.Append(lines)
}

func letterOf(reason, message string, s *prompb.TimeSeries) letter {
	l := letter{Time: time.Now().UTC(), Reason: reason, Message: message, Series: map[string]string{}, Histograms: len(s.Histograms)}
	for _, label := range s.Labels {
		l.Series[label.Name] = label.Value
	}
	for _, sample := range s.Samples {
		l.Samples = append(l.Samples, [2]any{sample.Timestamp, strconv.FormatFloat(sample.Value, 'g', -1, 64)})
	}
	return l
}
