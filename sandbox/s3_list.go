package sandbox

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

type xmlBucket struct {
	Name         string
	CreationDate string
}

// listBuckets lists those of the caller's account.
func (s *Sandbox) listBuckets(w http.ResponseWriter, _ *http.Request, caller *identity) *awsError {
	result := struct {
		XMLName xml.Name    `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
		OwnerID string      `xml:"Owner>ID"`
		Owner   string      `xml:"Owner>DisplayName"`
		Buckets []xmlBucket `xml:"Buckets>Bucket"`
	}{OwnerID: caller.account.ID, Owner: caller.account.ID}
	for _, b := range caller.account.Buckets {
		result.Buckets = append(result.Buckets, xmlBucket{b.Name, s3Time(s.started)})
	}
	writeXML(w, http.StatusOK, result)
	return nil
}

// listing is the question of ListObjects and ListObjectsV2.
type listing struct {
	version   int
	prefix    string
	delimiter string
	after     string // the last key of the page before
	limit     int
	encode    func(string) string
}

const maxKeys = 1000

func readListing(q url.Values) (*listing, *awsError) {
	l := &listing{
		version: 1, prefix: q.Get("prefix"), delimiter: q.Get("delimiter"), after: q.Get("marker"),
		limit: maxKeys, encode: func(text string) string { return text },
	}
	if q.Get("encoding-type") == "url" {
		l.encode = func(text string) string { return uriEncode(text, false) }
	}
	if text := q.Get("max-keys"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 0 {
			return nil, &awsError{"InvalidArgument", http.StatusBadRequest, "Provided max-keys not an integer or within integer range"}
		}
		l.limit = min(limit, maxKeys)
	}
	if q.Get("list-type") != "2" {
		return l, nil
	}
	l.version, l.after = 2, q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		after, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return nil, &awsError{"InvalidArgument", http.StatusBadRequest, "The continuation token provided is incorrect"}
		}
		l.after = string(after)
	}
	return l, nil
}

// page is the answer: keys, rolled-up prefixes, and where to go on.
type page struct {
	keys     []string
	prefixes []string
	next     string
}

// of selects one page of the keys of a bucket.
func (l *listing) of(objects map[string]string) page {
	keys := make([]string, 0, len(objects))
	for key := range objects {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var p page
	var last string
	for _, key := range keys {
		entry, rolled := l.entry(key)
		if !strings.HasPrefix(key, l.prefix) || entry <= l.after || entry == last {
			continue
		}
		if len(p.keys)+len(p.prefixes) == l.limit {
			p.next = last
			break
		}
		last = entry
		if rolled {
			p.prefixes = append(p.prefixes, entry)
		} else {
			p.keys = append(p.keys, key)
		}
	}
	return p
}

// entry returns the key, or the prefix that it is rolled up into.
func (l *listing) entry(key string) (string, bool) {
	rest, found := strings.CutPrefix(key, l.prefix)
	if l.delimiter == "" || !found {
		return key, false
	}
	if at := strings.Index(rest, l.delimiter); at >= 0 {
		return l.prefix + rest[:at+len(l.delimiter)], true
	}
	return key, false
}

type xmlObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
	StorageClass string
}

type xmlListing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Marker                *string
	StartAfter            string `xml:",omitempty"`
	Delimiter             string `xml:",omitempty"`
	MaxKeys               int
	EncodingType          string `xml:",omitempty"`
	KeyCount              *int
	IsTruncated           bool
	NextMarker            string      `xml:",omitempty"`
	ContinuationToken     string      `xml:",omitempty"`
	NextContinuationToken string      `xml:",omitempty"`
	Contents              []xmlObject `xml:"Contents"`
	CommonPrefixes        []xmlPrefix `xml:"CommonPrefixes"`
}

type xmlPrefix struct{ Prefix string }

func (s *Sandbox) listObjects(w http.ResponseWriter, r *http.Request, b *bucket) *awsError {
	query := r.URL.Query()
	l, refusal := readListing(query)
	if refusal != nil {
		return refusal
	}
	p := l.of(b.Objects)
	result := xmlListing{
		Name: b.Name, Prefix: l.encode(l.prefix), Delimiter: l.encode(l.delimiter), MaxKeys: l.limit,
		EncodingType: query.Get("encoding-type"), IsTruncated: p.next != "",
	}
	l.addPosition(&result, query, p)
	for _, key := range p.keys {
		content := b.Objects[key]
		result.Contents = append(result.Contents, xmlObject{l.encode(key), s3Time(s.started), etag(content), len(content), "STANDARD"})
	}
	for _, prefix := range p.prefixes {
		result.CommonPrefixes = append(result.CommonPrefixes, xmlPrefix{l.encode(prefix)})
	}
	writeXML(w, http.StatusOK, result)
	return nil
}

// addPosition says where the page stands, which the two versions do differently.
func (l *listing) addPosition(result *xmlListing, query url.Values, p page) {
	if l.version == 1 {
		marker := l.encode(l.after)
		result.Marker = &marker
		if l.delimiter != "" {
			result.NextMarker = l.encode(p.next)
		}
		return
	}
	count := len(p.keys) + len(p.prefixes)
	result.KeyCount = &count
	result.StartAfter = l.encode(query.Get("start-after"))
	result.ContinuationToken = query.Get("continuation-token")
	if p.next != "" {
		result.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(p.next))
	}
}
