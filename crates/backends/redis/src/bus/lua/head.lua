return head_after((certain()))
