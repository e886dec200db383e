// Package doctor finds out why a workload does not get its credentials: it goes the way
// that a profile describes hop by hop, says what it saw on each, and what to do.
//
//	report := doctor.Doctor{Profile: selected, Getenv: getenv}.Examine(ctx)
//	for _, f := range report.Findings {
//		fmt.Println(f.Verdict, f.Summary, f.Fix)
//	}
//
// Evidence is gathered first, by asking what the workload itself would ask; it is judged
// afterwards, by functions that ask nobody. The exchange is tried for real, so that the
// verdict is never better than the truth. What could not be read is never called clean.
package doctor

//go:generate go test -run ^TestTheReferenceIsCurrent$ . -update
