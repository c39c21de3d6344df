package diskstore

// Checkpoint makes a checkpoint now.
func (s *Store) Checkpoint() error { return s.checkpoint() }
