module github.com/openradius/workspace-jobs

go 1.26.0
