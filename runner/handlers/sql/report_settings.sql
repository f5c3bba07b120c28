SELECT set_config('TimeZone', $1, true), set_config('DateStyle', 'ISO', true),
       set_config('transaction_read_only', 'on', true)
