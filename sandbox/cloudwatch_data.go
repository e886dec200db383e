package sandbox

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The limits of GetMetricData.
const (
	maxQueries    = 500
	maxDatapoints = 100800
)

// dataRequest is a GetMetricData that has passed the checks.
type dataRequest struct {
	queries   []dataQuery
	window    window // without a period
	ascending bool
	room      int // for datapoints
	cursor    dataCursor
}

type dataQuery struct {
	id, label string
	metric    Metric
	stat      string
	period    int64
	unit      string
	account   string
	hidden    bool
}

// dataCursor is where a page begins, and as what the first page saw the world.
type dataCursor struct {
	Query int   `json:"q"`
	Done  int   `json:"d"` // points of that query
	By    int64 `json:"b"`
	Of    int   `json:"n"` // queries of the request
}

func (c *apiCall) getMetricData() (object, *awsError) {
	d, refusal := c.readDataRequest()
	if refusal != nil {
		return nil, refusal
	}
	c.s.api.bill(c.at, len(d.queries))
	c.details["queries"] = fmt.Sprint(len(d.queries))
	results := []object{}
	next, done := d.cursor, false
	for i := range d.queries {
		result := c.dataResult(d, i, &next, &done)
		if !d.queries[i].hidden {
			results = append(results, result)
		}
	}
	answer := object{"MetricDataResults": results, "Messages": []object{}}
	if done {
		answer["NextToken"] = next.token()
	}
	return answer, nil
}

// dataResult takes as many points of a query as there is room for; done says that there is
// no room any more, and that next is where the next page goes on.
func (c *apiCall) dataResult(d *dataRequest, i int, next *dataCursor, done *bool) object {
	q := &d.queries[i]
	if i < d.cursor.Query {
		return q.result("Complete", nil)
	}
	if *done {
		return q.result("PartialData", nil)
	}
	if q.account != c.at.account && !slices.Contains(c.caller.account.LinkedAccounts, q.account) {
		return q.result("Forbidden", nil)
	}
	status, points := c.dataPoints(d, q)
	before := 0 // points of the query that are on earlier pages
	if i == d.cursor.Query {
		before = min(d.cursor.Done, len(points))
	}
	points = points[before:]
	if len(points) > d.room {
		*done, *next = true, dataCursor{i, before + d.room, d.window.by, len(d.queries)}
		points, status = points[:d.room], "PartialData"
	}
	d.room -= len(points)
	return q.result(status, points)
}

// dataPoints are those of a query, in the order that was asked for.
func (c *apiCall) dataPoints(d *dataRequest, q *dataQuery) (status string, points []Datapoint) {
	at := regionID{q.account, c.at.name}
	source := c.s.source(at, q.metric)
	if source == nil || q.unit != "" && q.unit != source.unit() {
		return "Complete", nil
	}
	w := d.window
	w.period = q.period
	for _, b := range w.retained(c.now.Unix()).buckets(source, isPercentile(q.stat)) {
		points = append(points, Datapoint{time.Unix(b.at, 0), b.statistic(q.stat)})
	}
	if !d.ascending {
		slices.Reverse(points)
	}
	return c.outcome(at, q, points)
}

// outcome is Complete but for the shares of Delivery.
func (c *apiCall) outcome(at regionID, q *dataQuery, points []Datapoint) (string, []Datapoint) {
	r := c.s.region(at.account, at.name)
	if r == nil || r.Delivery.Partial == 0 && r.Delivery.Failing == 0 {
		return "Complete", points
	}
	luck := share(seedOf(at.account, at.name, q.metric.key(), q.stat, c.now.Truncate(time.Minute).String()))
	switch {
	case luck < r.Delivery.Failing:
		return "InternalError", nil
	case luck < r.Delivery.Failing+r.Delivery.Partial:
		return "PartialData", points[:len(points)/2]
	}
	return "Complete", points
}

func (q *dataQuery) result(status string, points []Datapoint) object {
	times, values := make([]time.Time, len(points)), make([]float64, len(points))
	for i, p := range points {
		times[i], values[i] = p.Time, p.Value
	}
	result := object{"Id": q.id, "Label": q.label, "StatusCode": status, "Timestamps": times, "Values": values}
	switch status {
	case "Forbidden":
		result["Messages"] = []object{{"Code": "Forbidden", "Value": "The account is not linked to this one."}} // unverified wording
	case "InternalError":
		result["Messages"] = []object{{"Code": "InternalError", "Value": "An error occurred. Try again."}} // unverified wording
	}
	return result
}

func (d dataCursor) token() string {
	text, _ := json.Marshal(d) // plain numbers
	return base64.RawURLEncoding.EncodeToString(text)
}

func (c *apiCall) readDataRequest() (*dataRequest, *awsError) {
	d := &dataRequest{room: maxDatapoints, ascending: c.in.text("ScanBy") == "TimestampAscending"}
	start, end, refusal := c.dataTimes()
	if refusal != nil {
		return nil, refusal
	}
	if refusal := d.readQueries(c); refusal != nil {
		return nil, refusal
	}
	if c.in.has("MaxDatapoints") {
		most, ok := c.in.integer("MaxDatapoints")
		if !ok || most < 1 || most > maxDatapoints {
			return nil, invalid("The value for parameter MaxDatapoints must be between 1 and %d.", maxDatapoints) // unverified wording
		}
		d.room = int(most)
	}
	if scan := c.in.text("ScanBy"); scan != "" && !d.ascending && scan != "TimestampDescending" {
		return nil, invalid("The value %s for parameter ScanBy is invalid.", printable(scan)) // unverified wording
	}
	now := c.now.Unix()
	d.window = window{from: roundStart(start.Unix(), now), to: end.Unix(), by: now}
	return d, d.readCursor(c.in.text("NextToken"))
}

func (c *apiCall) dataTimes() (start, end time.Time, refusal *awsError) {
	start, begins := c.in.time("StartTime")
	end, ends := c.in.time("EndTime")
	switch {
	case !c.in.has("StartTime"), !c.in.has("EndTime"):
		return start, end, invalid("The parameters StartTime and EndTime are required.") // unverified wording
	case !begins, !ends:
		return start, end, invalid("The parameter StartTime or EndTime is no timestamp.") // unverified wording
	case !start.Before(end):
		return start, end, invalid("The parameter StartTime must be less than the parameter EndTime.")
	}
	return start, end, nil
}

func (d *dataRequest) readCursor(token string) *awsError {
	if token == "" {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &d.cursor)
	}
	if c := d.cursor; err != nil || c.Of != len(d.queries) || c.Query < 0 || c.Done < 0 || c.By > d.window.by {
		return &awsError{"InvalidNextToken", http.StatusBadRequest, "The next token specified is invalid."}
	}
	d.window.by = d.cursor.By
	return nil
}

func (d *dataRequest) readQueries(c *apiCall) *awsError {
	list := c.in.structures("MetricDataQueries")
	switch {
	case len(list) == 0:
		return invalid("The parameter MetricDataQueries is required.")
	case len(list) > maxQueries:
		return invalid("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	}
	ids := map[string]bool{}
	for i, in := range list {
		where := fmt.Sprintf("MetricDataQueries.member.%d", i+1)
		q, refusal := c.readQuery(in, where)
		if refusal != nil {
			return refusal
		}
		if ids[q.id] {
			return invalid("The values for parameter id in MetricDataQueries are not unique.")
		}
		ids[q.id] = true
		d.queries = append(d.queries, q)
	}
	return nil
}

func (c *apiCall) readQuery(in params, where string) (dataQuery, *awsError) {
	stat := in.structure("MetricStat")
	q := dataQuery{
		id: in.text("Id"), metric: readMetric(stat.structure("Metric")), stat: stat.text("Stat"), unit: stat.text("Unit"),
		account: cmp.Or(in.text("AccountId"), c.at.account), hidden: in.has("ReturnData") && !in.flag("ReturnData"),
	}
	q.label = cmp.Or(in.text("Label"), q.metric.Name)
	switch {
	case !isQueryID(q.id):
		return q, invalid("The value %s for parameter %s.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", printable(q.id), where)
	case in.has("Expression") && in.has("MetricStat"):
		return q, invalid("The parameters Expression and MetricStat of %s cannot be used together.", where) // unverified wording
	case in.has("Expression"):
		return q, invalid("Error in expression '%s': the sandbox plays no metric math", q.id)
	case q.metric.Namespace == "" || q.metric.Name == "":
		return q, invalid("The parameter %s.MetricStat.Metric is required.", where)
	case !isStatistic(q.stat) && !isPercentile(q.stat):
		return q, invalid("The value %s for parameter %s.MetricStat.Stat is not supported.", printable(q.stat), where)
	}
	period, ok := stat.integer("Period")
	if !ok || !isPeriod(period) {
		return q, invalid("The value for parameter %s.MetricStat.Period must be 1, 5, 10, 20, 30 or a multiple of 60.", where) // unverified wording
	}
	q.period = period
	return q, nil
}

func isPeriod(period int64) bool {
	return slices.Contains([]int64{1, 5, 10, 20, 30}, period) || period > 0 && period%60 == 0 && period <= 86400*365
}

// isQueryID is ^[a-z][a-zA-Z0-9_]*$ of at most 255 characters.
func isQueryID(id string) bool {
	return id != "" && len(id) <= 255 && isLower(rune(id[0])) &&
		consistsOf(id, func(r rune) bool { return isDigit(r) || isLower(r) || r >= 'A' && r <= 'Z' || r == '_' })
}

// maxStatistics is how many datapoints GetMetricStatistics gives.
const maxStatistics = 1440

func (c *apiCall) getMetricStatistics() (object, *awsError) {
	m := readMetric(c.in)
	w, refusal := c.statisticsWindow(m)
	if refusal != nil {
		return nil, refusal
	}
	stats, extended := c.in.texts("Statistics"), c.in.texts("ExtendedStatistics")
	if refusal := checkStatistics(stats, extended); refusal != nil {
		return nil, refusal
	}
	points := []object{}
	source := c.s.source(c.at, m)
	if source == nil || c.in.has("Unit") && c.in.text("Unit") != source.unit() {
		return object{"Label": m.Name, "Datapoints": points}, nil
	}
	for _, b := range w.retained(c.now.Unix()).buckets(source, len(extended) > 0) {
		point := object{"Timestamp": time.Unix(b.at, 0), "Unit": source.unit()}
		for _, stat := range stats {
			point[stat] = b.statistic(stat)
		}
		if len(extended) > 0 {
			point["ExtendedStatistics"] = percentiles(&b, extended)
		}
		points = append(points, point)
	}
	return object{"Label": m.Name, "Datapoints": points}, nil
}

func checkStatistics(stats, extended []string) *awsError {
	if len(stats)+len(extended) == 0 {
		return combination("At least one of the parameters ExtendedStatistics and Statistics must be specified.")
	}
	for _, stat := range stats {
		if !isStatistic(stat) {
			return invalidValue("The value %s for parameter Statistics.member.1 is invalid.", printable(stat)) // unverified wording
		}
	}
	for _, stat := range extended {
		if !isPercentile(stat) {
			return invalidValue("The value %s for parameter ExtendedStatistics.member.1 is invalid.", printable(stat)) // unverified wording
		}
	}
	return nil
}

// statisticsWindow counts periods from the beginning on (unverified).
func (c *apiCall) statisticsWindow(m Metric) (window, *awsError) {
	period, whole := c.in.integer("Period")
	start, begins := c.in.time("StartTime")
	end, ends := c.in.time("EndTime")
	for _, name := range []string{"Namespace", "MetricName", "StartTime", "EndTime", "Period"} {
		if !c.in.has(name) {
			return window{}, missing(name)
		}
	}
	switch {
	case !begins, !ends:
		return window{}, invalidValue("The value for parameter StartTime or EndTime is no timestamp.") // unverified wording
	case !start.Before(end):
		return window{}, invalidValue("The parameter StartTime must be less than the parameter EndTime.")
	case !whole || !isPeriod(period):
		return window{}, invalidValue("The parameter Period must be a multiple of 60.") // unverified wording
	case strings.TrimSpace(m.Namespace) == "":
		return window{}, invalidValue("The value for parameter Namespace is invalid.") // unverified wording
	}
	now := c.now.Unix()
	w := window{from: roundStart(start.Unix(), now), to: end.Unix(), period: period, by: now}
	w.origin = w.from
	if count := (w.to - w.from + period - 1) / period; count > maxStatistics {
		return w, combination("You have requested up to %d datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", count)
	}
	return w, nil
}

func percentiles(b *periodBucket, names []string) dictionary {
	d := dictionary{}
	for _, name := range names {
		d[name] = b.percentile(name)
	}
	return d
}
