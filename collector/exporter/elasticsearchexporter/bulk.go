package elasticsearchexporter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// appendBulk writes the body of POST /_bulk ("Bulk API"). The action is create: data streams
// take no other, and what is there already stays as it is.
func appendBulk(out []byte, docs []document) ([]byte, error) {
	type target struct {
		Index string `json:"_index"`
		ID    string `json:"_id,omitempty"`
	}
	for i := range docs {
		action, err := json.Marshal(map[string]target{"create": {docs[i].Stream, docs[i].ID}})
		if err != nil {
			return nil, err
		}
		out = append(append(out, action...), '\n')
		out = append(append(out, docs[i].Source...), '\n')
	}
	return out, nil
}

// item is what is said of a document.
type item struct {
	Status int        `json:"status"`
	Error  *itemError `json:"error"`
}

// itemError is the error of an item.
type itemError struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// UnmarshalJSON takes a text for an error, too: proxies have been seen to send that.
func (e *itemError) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &e.Reason)
	}
	type bare itemError
	return json.Unmarshal(text, (*bare)(e))
}

// parseBulk reads the answer to n documents. One that says less, or something else, says
// nothing: then all of them are sent again.
func parseBulk(text []byte, n int) ([]item, error) {
	var said struct {
		Items []map[string]item `json:"items"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&said); err != nil {
		return nil, fmt.Errorf("the answer is not that of a bulk request: %w", err)
	}
	if len(said.Items) != n {
		return nil, fmt.Errorf("the answer is about %d documents, and not about %d", len(said.Items), n)
	}
	items := make([]item, n)
	for i, one := range said.Items {
		done, found := one["create"]
		if !found || done.Status < 100 {
			return nil, fmt.Errorf("the answer does not say what became of document %d", i)
		}
		items[i] = done
	}
	return items, nil
}

// fate is what becomes of a document.
type fate int

const (
	created fate = iota
	duplicate
	retried
	held         // retried, and somebody has to see to it
	moved        // to the stream for what a time series does not take
	deadLettered // it will never be taken
)

// judge reads what is said of a document. That an identity may not write, or that there is
// no index, can be mended: nothing is given up for it.
func (i item) judge(d *document) fate {
	switch {
	case i.Status < http.StatusMultipleChoices:
		return created
	case i.Status == http.StatusConflict:
		return duplicate
	case i.Status == http.StatusTooManyRequests, i.Status >= http.StatusInternalServerError:
		return retried
	case i.Status == http.StatusUnauthorized, i.Status == http.StatusForbidden, i.Status == http.StatusNotFound:
		return held
	case d.Late != "" && i.Error != nil && i.Error.Type == "timestamp_error":
		return moved
	}
	return deadLettered
}

// why is the error in words.
func (i item) why() string {
	if i.Error == nil {
		return http.StatusText(i.Status)
	}
	return i.Error.Type + ": " + i.Error.Reason
}
