package lossless

import "testing"

func TestNothingIsGivenUp(t *testing.T) {
	retry, queue := Retry(), ByteQueue(1, 2)
	if err := retry.Validate(); err != nil || !retry.Enabled || retry.MaxElapsedTime != 0 {
		t.Errorf("%+v, %v", retry, err)
	}
	if err := queue.Validate(); err != nil || !queue.BlockOnOverflow || queue.NumConsumers != 1 || queue.WaitForResult {
		t.Errorf("%+v, %v", queue, err)
	}
}
